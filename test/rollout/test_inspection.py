"""The first window seen from inside is the first window of the rollout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from attnchain_ros.backbone import Backbone, load_backbone
from attnchain_ros.config import RolloutConfig, replace
from attnchain_ros.errors import ConfigError, MaskError
from attnchain_ros.lab.evaluation.anchors import clip_mesh
from attnchain_ros.lab.evaluation.synthetic import clip_windows
from attnchain_ros.lab.synthetic import Clip, ClipConfig, make_clip, split_seed
from attnchain_ros.rollout import Rollout, config_for
from attnchain_ros.rollout.inspection import inspect_window, start_window
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
    return config_for(backbone, SMALL)


@pytest.fixture(scope="module")
def clip() -> Clip:
    return make_clip(split_seed("test", 2), ClipConfig(family="door", frames=3, image_size=48, mesh_spacing=0.06))


@pytest.fixture(scope="module")
def window(clip: Clip) -> Window:
    """Three frames, one fewer than a window has."""
    return next(clip_windows(clip, 4))


@pytest.mark.parametrize("given", [True, False])
def test_it_is_the_rollouts_first_window(
    backbone: Backbone, config: RolloutConfig, clip: Clip, window: Window, given: bool
) -> None:
    mesh = clip_mesh(clip) if given else None
    wanted = Rollout(backbone, config, mesh, anchor_is_canonical=True).run(window)
    seen = inspect_window(backbone, config, window, start_window(backbone, config, window, mesh, canonical=True))
    found = seen.animation.vertices[:3].cpu().numpy()[:, seen.anchor.expand]
    assert np.array_equal(found, wanted.vertices)
    assert np.array_equal(seen.animation.landmarks[:3].cpu().numpy(), wanted.landmarks)
    assert np.array_equal(seen.animation.valid[:3].cpu().numpy(), wanted.landmark_valid)
    assert seen.stage.latents.shape[0] == 4  # padded, as for the networks


def test_a_users_mesh_is_brought_to_the_canonical_frame(
    backbone: Backbone, config: RolloutConfig, clip: Clip, window: Window
) -> None:
    mesh = clip_mesh(clip)
    wanted = Rollout(backbone, config, mesh).run(window)
    start = start_window(backbone, config, window, mesh)
    found = inspect_window(backbone, config, window, start).animation.vertices[:3].numpy()[:, start.anchor.expand]
    assert np.array_equal(found, wanted.vertices)


def test_what_cannot_be_inspected_is_refused(
    backbone: Backbone, config: RolloutConfig, clip: Clip, window: Window
) -> None:
    start = start_window(backbone, config, window, clip_mesh(clip), True)
    with pytest.raises(ConfigError, match=r"reinforce\.mode is 'gain'"):
        inspect_window(backbone, replace(config, {"reinforce.mode": "gain"}), window, start)
    with pytest.raises(ConfigError, match="the window has 3 frames, at most 2"):
        inspect_window(backbone, replace(config, {"frames": 2}), window, start)
    blank = Window(window.images, np.zeros_like(window.masks), window.stamps_ns)
    for use in (lambda: inspect_window(backbone, config, blank, start), lambda: start_window(backbone, config, blank)):
        with pytest.raises(MaskError, match="first frame is empty"):
            use()
