"""A window seen from inside is the rollout's window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from attnchain_ros.backbone import Backbone, load_backbone
from attnchain_ros.config import RolloutConfig, replace
from attnchain_ros.errors import ConfigError, MaskError
from attnchain_ros.lab.evaluation.anchors import clip_mesh
from attnchain_ros.lab.evaluation.synthetic import clip_windows
from attnchain_ros.lab.synthetic import Clip, ClipConfig, make_clip, split_seed
from attnchain_ros.options import resolve
from attnchain_ros.rollout import Rollout
from attnchain_ros.rollout.animating import animate
from attnchain_ros.rollout.window import Window

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
