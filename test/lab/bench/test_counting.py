"""What is counted is what runs."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from attnchain_ros.lab.bench.counting import Cost, count, total, weight_bytes
from attnchain_ros.lab.bench.devices import ARITHMETIC, KEPT, TRAFFIC, Device


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_product_is_counted_by_hand(device: str) -> None:
    a, b = torch.ones(8, 16, device=device), torch.ones(16, 32, device=device)
    cost = count(lambda: a @ b)
    assert (cost.full_flops, cost.half_flops, cost.launches) == (2 * 8 * 16 * 32, 0, 1)
    assert cost.moved_bytes == 4 * (8 * 16 + 16 * 32 + 8 * 32)
    assert cost.peak_bytes == 4 * 8 * 32


def test_half_precision_is_counted_apart() -> None:
    a = torch.ones(4, 4, device="meta", dtype=torch.bfloat16)
    assert (count(lambda: a @ a).half_flops, count(lambda: a @ a).full_flops) == (128, 0)


def test_views_and_new_memory_are_no_launches() -> None:
    a = torch.ones(4, 6)
    assert count(lambda: (a.view(6, 4), a.T, a[1:], torch.empty(3))).launches == 0
    assert count(lambda: a.add_(1)).launches == 1


def test_the_peak_is_what_is_alive_at_once() -> None:
    a = torch.ones(1000)

    def chain() -> torch.Tensor:
        b = a + 1
        b = b + 1  # both alive here
        b = b + 1
        return b

    assert count(chain).peak_bytes == 2 * 4000
    assert count(lambda: [a + 1, a + 1, a + 1]).peak_bytes == 3 * 4000
    assert count(lambda: a.add_(1)).peak_bytes <= 4000


def test_attention_without_data_is_one_fused_kernel() -> None:
    q = torch.ones(1, 2, 512, 64, device="meta", dtype=torch.bfloat16)
    fused = count(lambda: F.scaled_dot_product_attention(q, q, q))
    assert fused.half_flops == 2 * (2 * 2 * 512 * 512 * 64) and fused.launches == 1
    assert fused.peak_bytes < 2 * 512 * 512 * 2, "no matrix of all pairs"
    written = count(lambda: torch.softmax(q @ q.transpose(-1, -2), -1) @ q)
    assert written.half_flops == fused.half_flops and written.peak_bytes > fused.peak_bytes


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_rms_norm_without_data_is_one_kernel(dtype: torch.dtype) -> None:
    x, weight = torch.empty(16, 512, 64, device="meta", dtype=dtype), torch.empty(64, device="meta", dtype=dtype)
    cost = count(lambda: F.rms_norm(x, (64,), weight, 1e-6))
    sums = 2 * 4 * 16 * 512  # a row's statistics, in float32
    assert cost.launches == 1 and 0 <= cost.moved_bytes - (2 * x.nbytes + weight.nbytes) <= sums
    assert F.rms_norm(torch.ones(2, 64), (64,)).shape == (2, 64)


def test_costs_add_up_and_shared_weights_count_once() -> None:
    one = Cost(1.0, 2.0, 3.0, 4, 5)
    assert total([one, one.times(-1), one.times(3)]) == Cost(3.0, 6.0, 9.0, 12, 5)
    layer = torch.nn.Linear(10, 10, bias=False)
    assert weight_bytes([layer, torch.nn.Sequential(layer)]) == 400


def test_a_stage_takes_as_long_as_its_slowest_resource() -> None:
    device = Device("made up", half=100.0, full=10.0, traffic=1.0, memory=8.0, launch_us=10.0)
    assert device.seconds(Cost(half_flops=60e12)) == pytest.approx(0.6 / ARITHMETIC)
    assert device.seconds(Cost(half_flops=60e12, full_flops=6e12)) == pytest.approx(1.2 / ARITHMETIC)
    assert device.seconds(Cost(moved_bytes=2e12)) == pytest.approx(2 * KEPT / TRAFFIC)
    assert device.seconds(Cost(launches=1000, half_flops=1)) == pytest.approx(0.01)


def test_what_was_there_before_is_nobodys_peak() -> None:
    """A view of the weights is no new memory, however a product asks for it."""
    weights, rows = torch.empty(1000, 1000, device="meta"), torch.empty(10, 1000, device="meta")
    assert count(lambda: torch.nn.functional.linear(rows, weights)).peak_bytes == 10 * 1000 * 4
    assert count(lambda: rows.view(5, 2, 1000) + 1).peak_bytes == 10 * 1000 * 4
