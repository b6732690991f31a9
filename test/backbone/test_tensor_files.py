"""attnchain_ros.backbone.tensor_files: read once, piece by piece; fingerprints that tell files apart."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from attnchain_ros.backbone import tensor_files
from attnchain_ros.backbone.tensor_files import TensorFile
from attnchain_ros.errors import WeightsError

CPU = torch.device("cpu")


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    return {
        "b.weight": torch.randn(7, 5),
        "a.bias": torch.randn(3).half(),
        "empty": torch.zeros(0, 4),
        "count": torch.arange(6),
        "scalar": torch.tensor(2.5),
    }


@pytest.mark.parametrize("mapped", [1, 1 << 30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_tensor_comes_once(
    state: dict[str, torch.Tensor],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mapped: int,
    dtype: torch.dtype,
) -> None:
    monkeypatch.setattr(tensor_files, "_MAPPED_BYTES", mapped)
    save_file(state, str(tmp_path / "x.safetensors"))
    file = TensorFile(tmp_path / "x.safetensors")
    found = list(file.tensors(CPU, dtype))
    assert sorted(name for name, _ in found) == sorted(state) == sorted(file.shapes)
    for name, tensor in found:
        wanted = state[name].to(dtype) if state[name].is_floating_point() else state[name]
        assert file.shapes[name] == tuple(wanted.shape)
        assert torch.equal(tensor, wanted) and tensor.dtype == wanted.dtype


def test_tensors_outlive_the_file(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file(state, str(path))
    found = dict(TensorFile(path).tensors(CPU, torch.float32))
    with path.open("r+b") as file:  # in place, as a copy over it would
        file.write(b"\xff" * path.stat().st_size)
    assert torch.equal(found["b.weight"], state["b.weight"])


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty"])
def test_damaged_files_are_named(state: dict[str, torch.Tensor], tmp_path: Path, damage: str) -> None:
    path = tmp_path / "x.safetensors"
    save_file(state, str(path))
    whole = path.read_bytes()
    path.write_bytes({"cut": whole[:-20], "garbage": b"\xfe" * 100, "empty": b""}[damage])
    with pytest.raises(WeightsError, match=r"x\.safetensors is no readable safetensors file"):
        TensorFile(path)


def test_a_small_file_is_hashed_whole(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file(state, str(path))
    assert TensorFile(path).fingerprint() == hashlib.sha256(path.read_bytes()).digest()


def test_a_large_file_is_told_apart_without_reading_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensor_files, "_WHOLE_BYTES", 1000)
    base = {"w": torch.randn(100, 100), "v": torch.randn(10)}
    others = {
        "first value": {**base, "w": base["w"].index_put((torch.tensor(0), torch.tensor(0)), torch.tensor(9.0))},
        "last value": {**base, "w": base["w"].index_put((torch.tensor(99), torch.tensor(99)), torch.tensor(9.0))},
        "small tensor": {**base, "v": base["v"] + 1},
        "name": {"w": base["w"], "u": base["v"]},
        "precision": {**base, "w": base["w"].half()},
    }
    prints = set()
    for number, tensors in enumerate([base, *others.values()]):
        path = tmp_path / f"{number}.safetensors"
        save_file(tensors, str(path))
        prints.add(TensorFile(path).fingerprint())
    assert len(prints) == 1 + len(others)
    save_file(base, str(tmp_path / "again.safetensors"))
    assert TensorFile(tmp_path / "again.safetensors").fingerprint() in prints


PEAK = """
import re, sys, torch
from pathlib import Path
from attnchain_ros.backbone.tensor_files import TensorFile
def memory(name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text()).group(1)) * 1024
Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
before = memory("VmRSS")
kept = dict(TensorFile(Path(sys.argv[1])).tensors(torch.device("cpu"), torch.bfloat16))
assert len(kept) == 24
print(memory("VmHWM") - before)
"""


@pytest.mark.slow
def test_peak_memory_is_the_weights_and_one_piece(tmp_path: Path) -> None:
    """1.2 GB of float32 into 0.6 GB of bfloat16, never more than a piece of the file mapped beside it.

    Seen: 0.88 GB, that is the weights and the piece of 256 MiB with the tensor that crosses its end.
    """
    path = tmp_path / "large.safetensors"
    save_file({f"layer.{number}": torch.zeros(12_500_000) for number in range(24)}, str(path))
    done = subprocess.run([sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, check=True)
    weights = 24 * 12_500_000 * 2
    assert weights <= int(done.stdout) <= weights + (256 << 20) + 100_000_000, done.stdout
