from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from attnchain_ros.backbone import load_backbone
from attnchain_ros.errors import MaskError
from attnchain_ros.lab.evaluation.flow import Tracks
from attnchain_ros.lab.evaluation.sequences import cut_windows, roll, rollout_tracker, track_queries
from attnchain_ros.lab.synthetic import ClipConfig, make_clip, split_seed
from attnchain_ros.options import resolve

QUICK = {
    "surface.grid": 16, "surface.coarse_grid": 8, "surface.candidate_grid": 16, "surface.n_surface": 64,
    "encode_points": 128, "animation.landmarks": 16, "sampling.steps": 1, "sampling.stage0_steps": 1,
}  # fmt: skip


def follow_brightness(images: np.ndarray, masks: np.ndarray | None, queries: np.ndarray) -> Tracks:
    """A made-up tracker: frame f of what it is given moves points by the frames' stored numbers."""
    numbers = images[:, 0, 0, 0].astype(float)
    way = np.stack([numbers - numbers[0], np.zeros(len(numbers))], axis=1)
    points = np.asarray(queries)[None] + way[:, None]
    return Tracks(points.astype(np.float32), np.ones(points.shape[:2], bool))


def numbered(frames: int) -> np.ndarray:
    return np.arange(frames, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)


@pytest.mark.parametrize("backwards", [False, True])
def test_queries_in_any_frame(backwards: bool) -> None:
    queries = np.array([[10.0, 1], [20, 2], [30, 3], [40, 4]])
    frame = np.array([0, 2, 4, 2])
    seen: list[tuple[int, int]] = []
    found = track_queries(follow_brightness, numbered(5), None, queries, frame, backwards, lambda *at: seen.append(at))
    for q in range(4):
        for f in range(5):
            if f >= frame[q] or backwards:
                assert found.points_px[f, q].tolist() == [queries[q, 0] + f - frame[q], queries[q, 1]]
                assert found.visible[f, q]
            else:
                assert np.isnan(found.points_px[f, q]).all() and not found.visible[f, q]
    assert seen[-1][0] == seen[-1][1] == (5 if backwards else 3)


def test_windows_carry_queries_and_cameras() -> None:
    images, masks = numbered(5), np.ones((5, 2, 2), bool)
    windows = list(cut_windows(images, masks, 3, np.eye(3), np.zeros((4, 2), np.float32)))
    assert [window.frames for window in windows] == [3, 3]
    assert windows[0].stamps_ns[-1] == windows[1].stamps_ns[0]
    assert windows[1].images[0, 0, 0, 0] == 2 and windows[1].intrinsics is not None
    assert windows[0].queries_px is not None and len(windows[0].queries_px) == 4


def test_a_video_through_the_rollout(tiny_folder: Path) -> None:
    """Random weights: only the book-keeping is looked at."""
    backbone = load_backbone(tiny_folder, "cpu")
    config = resolve(backbone, QUICK)
    clip = make_clip(split_seed("test", 3), ClipConfig(frames=6, image_size=48, mesh_spacing=0.06))
    y, x = np.nonzero(clip.masks[0])
    queries = np.stack([x, y], axis=1)[:: len(x) // 3][:3].astype(np.float32)
    rolled = roll(backbone, config, clip.images, clip.masks, clip.intrinsics, queries)
    assert rolled.motion.vertices.shape[0] == 6 and len(rolled.seconds) == len(rolled.correlations) == 2
    assert all(-1 <= value <= 1 for value in rolled.correlations)
    assert rolled.motion.points_px.shape == (6, 3, 2)
    tracks = rollout_tracker(backbone, config, clip.intrinsics)(clip.images, clip.masks, queries)
    assert np.array_equal(tracks.points_px, rolled.motion.points_px, equal_nan=True)
    with pytest.raises(MaskError, match="ask for a foreground method by name"):
        rollout_tracker(backbone, config)(clip.images, None, queries)
