"""The real engine on a tiny random checkpoint, by itself and driven by the worker."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from attnchain_ros.errors import Cancelled, ConfigError, WeightsError
from attnchain_ros.files.meshes import write_mesh
from attnchain_ros.masks.tracker import MaskTracker, load_tracker
from attnchain_ros.mesh.types import Mesh
from attnchain_ros.node.engine import RolloutEngine
from attnchain_ros.node.parameters import NodeSettings, change
from attnchain_ros.node.statistics import Statistics
from attnchain_ros.node.worker import Work, Worker
from attnchain_ros.rollout.matching import Chain
from attnchain_ros.rollout.window import Window, WindowResult
from attnchain_ros.stream.buffer import Batch
from attnchain_ros.stream.config import StreamConfig
from attnchain_ros.stream.frame import Frame
from attnchain_ros.stream.masking import MaskMaker
from attnchain_ros.stream.objects import clean_mask
from attnchain_ros.stream.several import Hooks, Member, ObjectStreams

QUICK = {
    "sampling.steps": 2, "surface.grid": 16, "surface.coarse_grid": 8, "surface.n_surface": 128,
    "surface.candidate_grid": 16, "encode_points": 128, "animation.landmarks": 16, "tracks.max_queries": 20,
    "camera.iterations": 20, "device": "cpu", "dtype": "float32",
}  # fmt: skip
FRAMES = 4


@pytest.fixture(scope="module")
def settings(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> NodeSettings:
    # An octahedron is closed and small.
    from node.hand_made import COLORS, FACES, VERTICES

    anchor = tmp_path_factory.mktemp("anchor") / "anchor.ply"
    write_mesh(anchor, Mesh(VERTICES, FACES, COLORS))
    return change(NodeSettings(), {**QUICK, "weights": str(tiny_folder), "anchor_mesh": str(anchor)})


def window_of(first: int, count: int = FRAMES) -> Window:
    y, x = np.mgrid[:40, :48]
    masks = np.stack([(x - 18 - number) ** 2 + (y - 20) ** 2 < 100 for number in range(first, first + count)])
    images = np.where(masks[..., None], np.uint8(190), np.uint8(40)) + (x[..., None] % 5).astype(np.uint8)
    stamps = np.arange(first, first + count, dtype=np.int64) * 10**8 + 10**9
    return Window(np.broadcast_to(images, (*masks.shape, 3)).copy(), masks, stamps)


def run(engine: RolloutEngine, window: Window) -> WindowResult:
    return engine.run(window, lambda stage, done, total: None, lambda: False)


def same(first: WindowResult, second: WindowResult) -> bool:
    return all(
        np.array_equal(getattr(first, name), getattr(second, name)) for name in ("vertices", "landmarks", "faces")
    ) and np.array_equal(first.tracks.points_px, second.tracks.points_px, equal_nan=True)


def test_windows_go_on_until_a_reset(settings: NodeSettings):
    engine = RolloutEngine(settings)
    assert "cpu" in engine.description and engine.settings.rollout.frames == FRAMES
    first, second = run(engine, window_of(0)), run(engine, window_of(3))
    assert (first.index, second.index, second.shared_first) == (0, 1, True)
    engine.reset()
    again = run(engine, window_of(0))
    assert again.index == 0 and again.topology_id != first.topology_id and same(again, first)


def test_smaller_pieces_give_the_same_result(settings: NodeSettings):
    whole, pieces = RolloutEngine(settings), RolloutEngine(settings)
    pieces.save_memory()
    assert pieces.rollout.config.match.tile < whole.rollout.config.match.tile
    assert pieces.rollout.config.surface.query_chunk < whole.rollout.config.surface.query_chunk
    first, second = run(whole, window_of(0)), run(pieces, window_of(0))
    told = [note.text for note in second.notes if note.code == "memory_short"]
    assert len(told) == 1 and "temporary arrays are at most 64 MB" in told[0]
    assert not [note for note in run(pieces, window_of(3)).notes if note.code == "memory_short"], "told once"
    # The sums of other tile sizes may differ in the last bits; none did here.
    np.testing.assert_allclose(second.vertices, first.vertices, atol=1e-5)
    pieces.configure(settings.rollout)
    assert pieces.rollout.config.match.tile < whole.rollout.config.match.tile, "other options keep the pieces small"


def test_other_options_hold_from_the_next_window_on(settings: NodeSettings):
    engine = RolloutEngine(settings)
    first = run(engine, window_of(0))
    engine.configure(change(engine.settings, {"sampling.steps": 1}).rollout)
    second = run(engine, window_of(3))
    assert second.index == 1 and second.topology_id == first.topology_id
    assert engine.rollout.config.sampling.steps == 1


def test_a_cancelled_window_leaves_the_chain_as_it_was(settings: NodeSettings):
    engine, other = RolloutEngine(settings), RolloutEngine(settings)
    run(engine, window_of(0))
    run(other, window_of(0))
    with pytest.raises(Cancelled):
        engine.run(window_of(3), lambda stage, done, total: None, lambda: True)
    assert same(run(engine, window_of(3)), run(other, window_of(3)))


def test_engines_beside_one_another_share_the_networks_and_nothing_else(settings: NodeSettings):
    alone = RolloutEngine(settings)
    wanted = [run(alone, window_of(first)) for first in (0, 3, 6)]
    alone.reset()
    other = [run(alone, window_of(first)) for first in (20, 23, 26)]
    root = RolloutEngine(settings)
    one, two = root.beside(1), root.beside(2)
    assert one.rollout is not two.rollout and one.rollout.backbone is two.rollout.backbone is root.rollout.backbone
    for number, (first, second) in enumerate(zip(wanted, other, strict=True)):
        mine, theirs = run(one, window_of(3 * number)), run(two, window_of(20 + 3 * number))
        assert same(mine, first) and same(theirs, second) and mine.index == theirs.index == number
        assert mine.topology_id == first.topology_id == 0
        np.testing.assert_array_equal(mine.camera.camera_from_object, first.camera.camera_from_object)
    one.reset()
    assert run(two, window_of(29)).index == 3, "a reset is the object's own"
    one.configure(change(one.settings, {"sampling.steps": 1}).rollout)
    assert two.rollout.config.sampling.steps == 2
    two.save_memory()
    assert one.rollout.config.match.tile > two.rollout.config.match.tile


def test_each_object_can_have_an_anchor_of_its_own(settings: NodeSettings, tmp_path: Path):
    from node.hand_made import COLORS, FACES, VERTICES

    write_mesh(tmp_path / "mesh_3.ply", Mesh(VERTICES * np.float32([1, 2, 1]), FACES, COLORS))
    root = RolloutEngine(change(settings, {"anchor_mesh": str(tmp_path / "mesh_{id}.ply")}))
    found = run(root.beside(3), window_of(0))
    assert found.vertices.shape[1] == len(VERTICES)
    assert root.beside(7).rollout._given is None, "without a file it is made from the image"


def test_what_cannot_be_built_says_why(settings: NodeSettings, tmp_path: Path):
    with pytest.raises(WeightsError, match="nowhere"):
        RolloutEngine(change(settings, {"weights": str(tmp_path / "nowhere")}))
    with pytest.raises(ConfigError, match="gpu"):
        RolloutEngine(change(settings, {"device": "gpu"}))


class Bench:
    """The worker around the real engine."""

    def __init__(self, settings: NodeSettings) -> None:
        streams = ObjectStreams(StreamConfig(queue_size=8), FRAMES, hooks=Hooks(ready=lambda: self.worker.wake()))
        self.buffer = streams.members[0].stream.buffer
        self.statistics = Statistics()
        self.results: list[WindowResult] = []
        work = Work(self._assemble, self._publish)
        self.worker = Worker(streams, lambda: RolloutEngine(settings), work, self.statistics)
        self.worker.start().result(60)
        self.worker.set_running(True)

    def _assemble(self, member: Member, batch: Batch) -> Window:
        return window_of(batch.frames[0].stamp_ns, len(batch.frames))

    def _publish(self, member: Member, batch: Batch, window: Window, result: WindowResult) -> WindowResult:
        self.results.append(result)
        return result

    def send(self, first: int, count: int) -> None:
        image, mask = np.zeros((4, 6, 3), np.uint8), np.ones((4, 6), bool)
        for number in range(first, first + count):
            self.buffer.push(Frame(image, mask, number, arrived_s=time.monotonic()))

    def wait(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 120
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.002)


@pytest.fixture
def bench(settings: NodeSettings):
    found = Bench(settings)
    yield found
    found.worker.stop(10)


def test_memory_that_runs_out_in_the_middle_of_a_window(bench, settings, monkeypatch: pytest.MonkeyPatch):
    """torch's own error, raised where the landmarks are matched: once, then always."""
    match, failures = Chain.match, [1]

    def fail(*arguments, **options):
        if failures[0]:
            failures[0] -= 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return match(*arguments, **options)

    bench.send(0, 4)
    bench.wait(lambda: len(bench.results) == 1)
    monkeypatch.setattr(Chain, "match", fail)
    bench.send(4, 3)
    bench.wait(lambda: len(bench.results) == 2)
    assert "OutOfMemoryError" in bench.statistics.snapshot(0.0).last_error
    undisturbed = RolloutEngine(settings)
    run(undisturbed, window_of(0))
    np.testing.assert_allclose(bench.results[1].vertices, run(undisturbed, window_of(3)).vertices, atol=1e-5)
    failures[0] = 10**9
    bench.send(7, 3)
    bench.wait(lambda: bench.statistics.snapshot(0.0).failed_windows == 1)
    failures[0] = 0
    bench.send(10, 4)
    bench.wait(lambda: len(bench.results) == 3 and bench.buffer.accounts().in_flight == 0)
    assert bench.results[2].index == 0, "the chain starts anew after a window that was skipped"
    found = bench.buffer.accounts()
    assert (found.received, found.used, found.dropped) == (14, 11, {"window_error": 3})


def test_from_a_prompt_to_a_window_with_the_real_engine(settings: NodeSettings, sam_folder: Path) -> None:
    """SAM 2's classes on the engine's device. Random weights follow nothing, so the object is held to be in sight."""
    options = {"foreground": "sam2", "sam2.weights": str(sam_folder), "sam2.point": "20,20", "queue_size": 16}
    prompted = change(settings, {**options, "overflow_policy": "block", "frames": FRAMES})
    streams = ObjectStreams(prompted.node, FRAMES, hooks=Hooks(ready=lambda: worker.wake()))
    stream = streams.members[0].stream
    windows: list[Window] = []
    makers: list[MaskMaker] = []
    results: list[WindowResult] = []

    def build() -> RolloutEngine:
        engine = RolloutEngine(prompted)
        tracker = engine.make_tracker()
        assert isinstance(tracker, MaskTracker) and tracker.model.device == torch.device("cpu")
        tracker.model.mask_decoder.pred_obj_score_head.proj_out.bias.data += 100.0
        makers.append(MaskMaker(tracker, stream.buffer, lambda: prompted.node.sam2, lossless=lambda: True))
        return engine

    def assemble(member: Member, batch: Batch) -> Window:
        windows.append(stream.assemble(batch))
        return windows[-1]

    def publish(member: Member, batch: Batch, window: Window, result: WindowResult) -> WindowResult:
        results.append(result)
        return result

    statistics = Statistics()
    worker = Worker(
        streams, build, Work(assemble, publish, make_masks=lambda stop: makers[0].work(stop)), statistics
    )  # fmt: skip
    worker.start().result(120)
    try:
        worker.set_running(True)
        shown = window_of(0, 2 * FRAMES - 1)
        for image, stamp in zip(shown.images, shown.stamps_ns, strict=True):
            stream.buffer.push(Frame(image, None, int(stamp), arrived_s=time.monotonic()))
        end = time.monotonic() + 120
        while stream.buffer.accounts().used < len(shown.images):
            assert time.monotonic() < end, (stream.buffer.accounts(), statistics.snapshot(0.0).last_error)
            time.sleep(0.002)
    finally:
        worker.stop(10)
    alone = load_tracker(sam_folder, torch.device("cpu"), torch.float32)
    alone.model.mask_decoder.pred_obj_score_head.proj_out.bias.data += 100.0
    prompt = prompted.node.sam2.prompt()
    assert prompt is not None and len(results) == 2
    wanted = [alone.follow(image) if row else alone.start(image, prompt) for row, image in enumerate(shown.images)]
    assert all(one.mask.any() for one in wanted)
    cleaned = np.stack([clean_mask(one.mask).mask for one in wanted])
    assert np.array_equal(np.concatenate([windows[0].masks, windows[1].masks[1:]]), cleaned)
    assert all(np.isfinite(result.vertices).all() for result in results)


def test_without_the_weights_of_sam_2_the_command_that_brings_them_is_named(
    settings: NodeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    engine = RolloutEngine(change(settings, {"foreground": "sam2"}))
    with pytest.raises(
        WeightsError, match=r"weights/sam2.1-hiera-tiny/config.json is missing: 'attnchain weights fetch"
    ):
        engine.make_tracker()
