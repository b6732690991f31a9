"""A window seen from inside is the rollout's window."""

from __future__ import annotations

import dataclasses
import gc
import hashlib
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from attnchain_ros.backbone import Backbone, StageOne, load_backbone
from attnchain_ros.config import RolloutConfig, replace
from attnchain_ros.errors import ConfigError, MaskError
from attnchain_ros.lab.evaluation.anchors import clip_mesh
from attnchain_ros.lab.evaluation.synthetic import clip_windows
from attnchain_ros.lab.synthetic import Clip, ClipConfig, make_clip, split_seed
from attnchain_ros.options import resolve
from attnchain_ros.rollout import Rollout, pipeline
from attnchain_ros.rollout.animating import animate
from attnchain_ros.rollout.window import Window, WindowResult

SMALL = {
    "surface.grid": 16, "surface.coarse_grid": 8, "surface.candidate_grid": 16, "surface.n_surface": 64,
    "encode_points": 128, "animation.landmarks": 24, "sampling.steps": 2, "sampling.stage0_steps": 1,
    "tracks.max_queries": 16, "camera.iterations": 20, "animation.keep_landmarks": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def backbone(tiny_folder: Path) -> Backbone:
    return load_backbone(tiny_folder, "cpu")


@pytest.fixture(scope="module")
def config(backbone: Backbone) -> RolloutConfig:
    return resolve(backbone, SMALL)


@pytest.fixture(scope="module")
def clip() -> Clip:
    return make_clip(split_seed("test", 2), ClipConfig(family="door", frames=3, image_size=48, mesh_spacing=0.06))


@pytest.fixture(scope="module")
def window(clip: Clip) -> Window:
    """Three frames, one fewer than a window has."""
    return next(clip_windows(clip, 4))


@pytest.mark.parametrize("given", [True, False])
def test_a_trace_finished_is_a_run(
    backbone: Backbone, config: RolloutConfig, clip: Clip, window: Window, given: bool
) -> None:
    mesh = clip_mesh(clip) if given else None
    wanted = Rollout(backbone, config, mesh, anchor_is_canonical=True).run(window)
    rollout = Rollout(backbone, config, mesh, anchor_is_canonical=True)
    seen = rollout.trace(window)
    assert seen.stage.latents.shape[0] == 4  # padded, as for the networks
    assert seen.frames == 3 and not seen.shared_first
    moved = animate(seen.state.copy(), seen.matches, seen.frames, config)
    assert np.array_equal(moved.vertices[:, seen.state.anchor.expand], wanted.vertices)
    assert np.array_equal(moved.landmarks, wanted.landmarks)
    assert np.array_equal(moved.valid, wanted.landmark_valid)
    # Looking changes nothing: neither the trace nor the rollout.
    for _ in range(2):
        rollout.reset()
        found = rollout.finish(seen)
        assert np.array_equal(found.vertices, wanted.vertices)
        assert np.array_equal(found.tracks.points_px, wanted.tracks.points_px, equal_nan=True)
        assert np.array_equal(found.camera.camera_from_object, wanted.camera.camera_from_object)


def test_one_start_serves_several_traces(backbone: Backbone, config: RolloutConfig, clip: Clip, window: Window) -> None:
    rollout = Rollout(backbone, config, clip_mesh(clip), anchor_is_canonical=True)
    start = rollout.start(window)
    first = rollout.trace(window, start)
    rollout.configure(replace(config, {"readout.direction": "backward"}))
    other = rollout.trace(window, start)
    rollout.configure(config)
    again = rollout.trace(window, start)
    assert torch.equal(first.matches.points, again.matches.points)
    assert not torch.equal(first.stage.maps.token_tokens, other.stage.maps.token_tokens)
    assert torch.equal(first.stage.latents, other.stage.latents)


def test_a_users_mesh_is_brought_to_the_canonical_frame(
    backbone: Backbone, config: RolloutConfig, clip: Clip, window: Window
) -> None:
    rollout = Rollout(backbone, config, clip_mesh(clip))
    state = rollout.start(window)
    assert abs(float(np.ptp(state.vertices, axis=0).max()) - config.anchor_longest_side) < 1e-6
    found = animate(state.copy(), rollout.trace(window, state).matches, 3, config).vertices[:, state.anchor.expand]
    assert np.array_equal(found, Rollout(backbone, config, clip_mesh(clip)).run(window).vertices)


def test_what_cannot_be_traced_is_refused(
    backbone: Backbone, config: RolloutConfig, clip: Clip, window: Window
) -> None:
    short = Rollout(backbone, replace(config, {"frames": 2}), clip_mesh(clip), anchor_is_canonical=True)
    with pytest.raises(ConfigError, match="the window has 3 frames, at most 2"):
        short.trace(window)
    blank = Window(window.images, np.zeros_like(window.masks), window.stamps_ns)
    with pytest.raises(MaskError, match="mask of the window's first frame is empty"):
        Rollout(backbone, config, clip_mesh(clip), anchor_is_canonical=True).trace(blank)


def summed(result: WindowResult) -> str:
    """Every number of a result but its times."""
    digest = hashlib.sha256()

    def add(value: object) -> None:
        if dataclasses.is_dataclass(value):
            for item in dataclasses.fields(value):
                if item.name != "timings_s":
                    add(getattr(value, item.name))
        elif isinstance(value, np.ndarray):
            digest.update(np.ascontiguousarray(value).tobytes())
        else:
            digest.update(repr(value).encode())

    add(result)
    return digest.hexdigest()


@pytest.mark.parametrize(
    "options",
    [{}, {"tracks.route": "patch"}, {"camera.estimate": False}, {"preset": "full"}, {"anchor_handover": "latent"}],
    ids=str,
)
def test_windows_finished_beside_the_next_ones_are_the_same_bytes(
    backbone: Backbone, config: RolloutConfig, options: dict[str, object]
) -> None:
    """The rest of every window is done after the next one has begun: nothing of a window waits for it."""
    frames = ClipConfig(family="door", frames=13, image_size=48, mesh_spacing=0.06)
    clip = make_clip(split_seed("test", 2), frames)
    windows, options = list(clip_windows(clip, 4)), {**SMALL, **options}
    assert len(windows) == 4
    plain = Rollout(backbone, resolve(backbone, options), clip_mesh(clip), anchor_is_canonical=True)
    wanted = [summed(plain.run(window)) for window in windows]
    rollout = Rollout(backbone, resolve(backbone, options), clip_mesh(clip), anchor_is_canonical=True)
    waiting, found = None, []
    with ThreadPoolExecutor(1) as beside:
        for window in windows:
            begun = rollout.begin(window)
            if waiting is not None:
                found.append(beside.submit(waiting).result())
            waiting = begun
        found.append(beside.submit(waiting).result())
    assert [summed(result) for result in found] == wanted and len(set(wanted)) == 4


def test_what_is_left_of_a_window_holds_nothing_of_the_device(
    backbone: Backbone, config: RolloutConfig, clip: Clip, window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout = Rollout(backbone, config, clip_mesh(clip), anchor_is_canonical=True)
    maps: list[weakref.ref[torch.Tensor]] = []
    denoise = Backbone.denoise

    def remember(self: Backbone, *more: object) -> StageOne:
        stage = denoise(self, *more)
        maps.extend(weakref.ref(one) for one in (stage.maps.token_tokens, stage.maps.token_patches, stage.latents))
        return stage

    monkeypatch.setattr(Backbone, "denoise", remember)
    rest = rollout.begin(window)
    gc.collect()
    assert [one() is None for one in maps] == [True] * 3
    # Not one operation of torch is left.
    with OperationsOfTorch() as counted:
        result = rest()
    assert counted.operations == 0 and result.frames == 3


class OperationsOfTorch(TorchDispatchMode):
    """Counts what torch is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.operations += 1
        return func(*args, **(kwargs or {}))


def test_a_window_whose_rest_fails_can_be_tried_again(
    backbone: Backbone, config: RolloutConfig, clip: Clip, window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout = Rollout(backbone, config, clip_mesh(clip), anchor_is_canonical=True)
    wanted = rollout.run(window)
    rollout.reset()
    with monkeypatch.context() as broken:
        broken.setattr(pipeline, "describe", lambda *all: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            rollout.run(window)
    found = rollout.run(window)
    assert found.index == 0 and np.array_equal(found.vertices, wanted.vertices)
