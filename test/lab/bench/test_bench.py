"""``attnchain bench`` at the smallest size, the published one without its data, and what is written."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from attnchain_ros.cli.main import main
from attnchain_ros.lab.bench import stages as all_stages
from attnchain_ros.lab.bench.counting import Cost, count
from attnchain_ros.lab.bench.load import LoadTimes, beside, measure_load
from attnchain_ros.lab.bench.report import draw, markdown, table
from attnchain_ros.lab.bench.run import Ask, Report, measure, network_bytes
from attnchain_ros.lab.bench.scene import Scene, host_config, make_mesh, shape_field
from attnchain_ros.lab.bench.sizes import SIZES, build
from attnchain_ros.lab.bench.stages import Measured, counted, host_stages, network_stages
from attnchain_ros.lab.bench.startup import Startup, measure_startup
from attnchain_ros.lab.bench.twins import plain_attention
from attnchain_ros.lab.cli import bench as command
from attnchain_ros.mesh.components import open_edges
from attnchain_ros.rollout import Window

META, CPU = torch.device("meta"), torch.device("cpu")


def test_the_command_knows_every_size() -> None:
    assert command.NAMES == tuple(SIZES)


def test_the_published_size_is_the_published_one() -> None:
    weights, zero = network_bytes(build(SIZES["published"], META, torch.bfloat16))
    # The published files hold 4 bytes a weight: VAE 0.97 GB, Stage 0 5.76 GB, Stage I as large, the encoder 1.22 GB.
    assert 2 * zero == pytest.approx(5.76e9, rel=0.01)
    assert 2 * weights == pytest.approx(0.97e9 + 2 * 5.76e9 + 1.22e9, rel=0.01)


def test_counting_without_data_is_counting_with_data() -> None:
    size = SIZES["tiny"]
    ghost = counted(network_stages(build(size, META, torch.float32), size.config()))
    backbone = build(size, CPU, torch.float32)
    for stage in network_stages(backbone, size.config()):
        if stage.name not in ("images", "hand-over", "denoising"):
            continue
        real, counted_cost = count(stage.work), ghost[stage.name].cost
        assert counted_cost is not None
        # Attention on the CPU has no formula: what is left is its projections.
        assert 0 < real.full_flops <= counted_cost.full_flops


def test_steps_are_counted_by_two_short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    size = SIZES["tiny"]
    (stage,) = [
        one
        for one in network_stages(build(size, META, torch.bfloat16), size.config({"sampling.steps": 5}))
        if one.name == "denoising"
    ]
    short = counted([stage])["denoising"].cost
    whole = count(stage.work)
    assert short is not None
    assert (short.half_flops, short.full_flops) == (whole.half_flops, whole.full_flops)
    assert short.launches == pytest.approx(whole.launches, rel=0.01)


def test_the_object_is_closed_and_found_again_by_what_runs_without_networks() -> None:
    config = host_config(SIZES["tiny"].config())
    mesh = make_mesh(config)
    assert open_edges(mesh.faces) == 0 and len(mesh.vertices) > 100
    assert float(shape_field(torch.from_numpy(mesh.vertices)).abs().max()) < 0.08
    scene = Scene.of(mesh, config.frames)
    assert 0.02 < scene.window.masks.mean() < 0.5
    found = host_stages(build(SIZES["small"], META, torch.bfloat16), SIZES["small"].config({"frames": 4}), 1)
    assert set(found) == {"preparation", "animation", "sight", "camera", "tracks"}
    assert [name for name in found if found[name].beside] == ["camera", "tracks"]
    assert "4 poses" in found["camera"].note
    assert all(one.seconds > 0 for one in found.values())


def test_random_weights_let_signals_through() -> None:
    backbone = build(SIZES["tiny"], CPU, torch.float32)
    field = backbone.decode(torch.ones(1, backbone.tokens, backbone.channels))
    with torch.no_grad():
        values = field.logits(torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (1, 50, 3)).astype(np.float32)))
    assert torch.isfinite(values).all() and 1e-3 < float(values.std()) < 1e3
    again = build(SIZES["tiny"], CPU, torch.float32)
    assert torch.equal(again.stage_one.proj_in.weight, backbone.stage_one.proj_in.weight)


def test_plain_attention_is_attention() -> None:
    q, k, v = torch.randn(3, 2, 2, 9, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(plain_attention(q, k, v), torch.nn.functional.scaled_dot_product_attention(q, k, v))


def made_up(**changes: object) -> Report:
    """A report of the published size."""
    cost = Cost(half_flops=600e12, full_flops=1e12, moved_bytes=1e12, launches=1000, peak_bytes=2 * 10**9)
    report = Report("published", "a card", "bfloat16", False, 6 * 10**9, 3 * 10**9, 0.04)
    report.stages = [Measured("denoising", 1, cost=cost), Measured("image to 3D", 0, cost=cost)]
    report.startup = Startup(torch=3.0, modules=1.0, weights=0.5, window=3.0)
    report.host = [Measured("preparation", 0, 2.0), Measured("animation", 1, 0.2), Measured("tracks", 1, 0.3)]
    for name, value in changes.items():
        setattr(report, name, value)
    return report


def test_budgets_are_kept_or_not() -> None:
    good = made_up()
    assert good.paper_seconds()["H100 SXM"] == pytest.approx(600 / 989 / 0.6 + 1 / 67 / 0.6 + 0.5, rel=1e-3)
    assert all(one.kept for one in good.verdicts()), [one for one in good.verdicts() if not one.kept]
    assert {one.name for one in made_up(evaluated=0.08).verdicts() if not one.kept} == {
        "candidate surfaces, points evaluated of all"
    }
    slow = made_up(host=[Measured("animation", 1, 0.5)])
    assert {one.name.split(" of")[0] for one in slow.verdicts() if not one.kept} == {"preparation", "animation"}
    late = made_up(startup=Startup(torch=3.0, modules=2.0, weights=1.5, window=3.0))
    assert {one.name for one in late.verdicts() if not one.kept} == {
        "start of a process to its first window, small checkpoint", "of that, modules and weights after torch"
    }  # fmt: skip
    assert sum(one.unit == "CPU s" for one in made_up(startup=None).verdicts() if not one.kept) == 2
    unknown = made_up(stages=[Measured("denoising", 1)])
    assert not any(one.kept for one in unknown.verdicts() if "by the count" in one.name)
    assert math.isnan(unknown.window_seconds())
    large = made_up(weights=11 * 10**9)
    assert "GPU memory with Stage 0 off the device" in {one.name for one in large.verdicts() if not one.kept}


def test_a_process_computes_its_first_window_and_tells_its_steps() -> None:
    masks = np.zeros((16, 96, 96), bool)
    masks[:, 30:70, 25:75] = True
    images = np.random.default_rng(0).integers(0, 256, (16, 96, 96, 3)).astype(np.uint8)
    window = Window(images, masks, np.arange(1, 17, dtype=np.int64) * 33_333_333)
    started = time.perf_counter()
    found = measure_startup(window)
    assert all(step > 0 for step in (found.torch, found.modules, found.weights, found.window))
    # All threads together: no more than every core was busy for as long as it took.
    assert found.total <= (time.perf_counter() - started) * (os.cpu_count() or 1)
    with pytest.raises(RuntimeError, match=r"(?s)ended with 1: .*abacus"):
        measure_startup(window, "abacus")


def test_tables_and_the_document_say_it_all() -> None:
    report = made_up(ratios={"skinning": 50.0}, variants={"torch.compile": (math.nan, "no compiler")})
    lines = "\n".join(table(report))
    for word in (
        "denoising",
        "(image to 3D)",
        "7.5 s of the processor",
        "pass  window to window on H100 SXM",
        "no compiler",
        "50.0 times",
    ):
        assert word in lines
    text = markdown([report])
    for word in ("| denoising |", "## What to buy", "| RTX 4090 | 24 | yes |", "**not kept**", "performance.png"):
        assert word in text or word == "**not kept**"
    assert draw(report).startswith(b"\x89PNG")


def test_the_command_measures_the_smallest_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--sizes", "tiny", "--device", "cpu", "--repeats", "1", "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "tiny on" in shown and "denoising" in shown and "the literal way takes" in shown
    (report,) = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert report["timed"] and report["window_seconds"] > 0 and report["window_cost"]["launches"] > 100
    names = {one["name"] for one in report["stages"]}
    assert {"images", "denoising", "fields", "surfaces", "matching", "hand-over", "reading both ways"} <= names
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"bench.json", "performance.md", "performance.png"}


def test_a_large_size_is_only_counted_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attnchain_ros.lab.bench.run.MOST_CPU_WEIGHTS", 1.0)
    report = measure(Ask("tiny", "cpu", repeats=1, twins=False))
    assert not report.timed and math.isnan(report.window_seconds())
    assert report.window_cost() is not None and report.host_seconds() > 0


def test_load_has_a_verdict_each_at_every_size() -> None:
    report = made_up(size="tiny", load=LoadTimes(quiet=2.0, camera=2.9, work=6.2))
    assert [(one.figure, one.kept) for one in report.verdicts()] == [(1.45, True), (3.1, False)]
    lines = "\n".join(table(report))
    assert "pass  window beside a camera, over a quiet one: 1.45 times (budget 1.5)" in lines
    assert "FAIL  window beside a camera and one busy process a core: 3.1 times (budget 3)" in lines
    assert "a window takes 2.00 s, beside a camera 2.90 s" in lines and "A window takes 2.00 s" in markdown([report])
    assert len(made_up(load=report.load).verdicts()) == len(made_up().verdicts()) + 2


def test_windows_are_measured_beside_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Sequence[str]] = []

    class Process:
        """Stands in for one that keeps a core busy."""

        def __init__(self, words: Sequence[str]) -> None:
            self.words = words
            self.state = "runs"
            started.append(words)

        def __enter__(self) -> Process:
            return self

        def kill(self) -> None:
            self.state = "killed"

        def __exit__(self, *error: object) -> None:
            assert self.state == "killed", "else waiting for it never ends"

    monkeypatch.setattr("attnchain_ros.lab.bench.load.subprocess.Popen", Process)
    monkeypatch.setattr("attnchain_ros.lab.bench.load.usable_cores", lambda: 3)
    size = SIZES["tiny"]
    found = measure_load(build(size, CPU, torch.float32), size.config(), rounds=2)
    assert min(found.quiet, found.camera, found.work) > 0
    cameras = sum("attnchain_ros.lab.bench.camera" in words for words in started)
    assert (cameras, len(started) - cameras) == (2 * 2, 2 * 3)
    with beside([("-c", "pass")]):
        assert len(started) == 11


def test_what_cannot_be_counted_says_why() -> None:
    def looks() -> object:
        return torch.ones(3, device="meta").sum().item()

    found = counted([all_stages.Stage("looking", looks)])["looking"]
    assert found.cost is None and "cannot be counted" in found.note


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--sizes", "huge"], "--sizes names 'huge'; there are tiny, small, medium, published"),
        (["--repeats", "0"], "--repeats is 0, must be at least 1"),
        (["--markdown", "a.txt"], "wanted the name of a Markdown file"),
    ],
)
def test_bad_arguments_are_refused(words: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *words]) == 2
    assert text in capsys.readouterr().err
