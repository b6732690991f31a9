from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from attnchain_ros.errors import InputError
from attnchain_ros.lab.evaluation import flow as fast
from attnchain_ros.lab.reference import flow as slow


def shifted_pictures(frames: int = 4, step: int = 2) -> np.ndarray:
    """A smooth pattern that moves to the right by whole pixels."""
    noise = gaussian_filter(np.random.default_rng(0).normal(size=(64, 64 + step * frames)), 2)
    grey = ((noise - noise.min()) / np.ptp(noise) * 255).astype(np.uint8)
    parts = [grey[:, step * (frames - f) : step * (frames - f) + 64] for f in range(frames)]
    return np.repeat(np.stack(parts)[..., None], 3, axis=3)


QUERIES = np.array([[20.0, 20], [30.25, 40.5], [25, 33]], np.float32)


@pytest.mark.parametrize("follow", [fast.dense_flow_tracks, fast.sparse_flow_tracks])
def test_a_moving_pattern_is_followed(follow) -> None:
    tracks = follow(shifted_pictures(), QUERIES)
    wanted = QUERIES + np.arange(4)[:, None, None] * np.array([2.0, 0])
    assert tracks.visible.all()
    # A few tenths of a pixel: what these methods can do.
    assert np.abs(tracks.points_px - wanted).max() < 0.5
    again = follow(shifted_pictures(), QUERIES)
    assert np.array_equal(again.points_px, tracks.points_px)


@pytest.mark.parametrize("follow", [fast.dense_flow_tracks, fast.sparse_flow_tracks])
def test_points_that_leave_are_hidden(follow) -> None:
    tracks = follow(shifted_pictures(8), np.array([[58.0, 30], [20, 30]]))
    assert tracks.visible[:, 1].all()
    assert not tracks.visible[-1, 0] and tracks.visible[0, 0]


@pytest.mark.parametrize("follow", [fast.dense_flow_tracks, fast.sparse_flow_tracks])
def test_a_cut_hides_points(follow) -> None:
    pictures = shifted_pictures(3)
    pictures[2] = np.random.default_rng(9).integers(0, 255, pictures[2].shape)
    tracks = follow(pictures, QUERIES)
    assert tracks.visible[1].all() and not tracks.visible[2].any()


def test_chain_against_twin() -> None:
    rng = np.random.default_rng(1)
    flows = []
    for _ in range(4):
        there = rng.normal(size=(7, 9, 2)) * 1.5
        flows.append((there, -there + rng.normal(size=there.shape) * 0.5))
    queries = rng.uniform(-1, 9, (20, 2))
    found = fast.chain_flow(flows, queries, 1.0, (7, 9))
    points, visible = slow.chain_flow(flows, queries, 1.0, (7, 9))
    assert np.allclose(found.points_px, points, atol=1e-5)  # float32 out
    assert np.array_equal(found.visible, visible)
    assert 0 < visible.sum() < visible.size


def test_still_and_bad_pictures() -> None:
    tracks = fast.still_tracks(QUERIES, 3)
    assert tracks.visible.all() and (tracks.points_px == QUERIES).all()
    with pytest.raises(InputError, match="wanted at least one of uint8"):
        fast.dense_flow_tracks(np.zeros((0, 4, 4, 3), np.uint8), QUERIES)
    one = fast.sparse_flow_tracks(shifted_pictures(1), QUERIES)
    assert one.points_px.shape == (1, 3, 2) and one.visible.all()
