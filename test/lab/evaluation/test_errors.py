from __future__ import annotations

import numpy as np
import pytest

from attnchain_ros.errors import InputError, ShapeError
from attnchain_ros.lab.evaluation.errors import (
    moved_points,
    object_radius,
    point_errors,
    region_means,
)


def test_radius_by_hand() -> None:
    corners = np.array([[x, y, z] for x in (1, 3) for y in (0, 4) for z in (-2, 2)], float)
    assert object_radius(corners) == pytest.approx(3.0)  # half extents 1, 2, 2
    assert object_radius(corners + 7) == pytest.approx(3.0)


def test_errors_against_loops() -> None:
    rng = np.random.default_rng(0)
    truth, found = rng.normal(size=(5, 7, 3)), rng.normal(size=(5, 7, 3))
    errors, moved = point_errors(found, truth), moved_points(truth, 4.0)
    sums = {"last_all": [], "last_moved": [], "frames_all": [], "frames_moved": []}
    for frame in range(5):
        for point in range(7):
            error = sum((found[frame, point, k] - truth[frame, point, k]) ** 2 for k in range(3)) ** 0.5
            way = sum((truth[frame, point, k] - truth[0, point, k]) ** 2 for k in range(3)) ** 0.5
            assert errors[frame, point] == pytest.approx(error, rel=1e-12)
            assert moved[frame, point] == (way > 1.0)
            if frame > 0:
                sums["frames_all"].append(error)
                if way > 1.0:
                    sums["frames_moved"].append(error)
            if frame == 4:
                sums["last_all"].append(error)
                if way > 1.0:
                    sums["last_moved"].append(error)
    means = region_means(errors, moved)
    assert 0 < len(sums["frames_moved"]) < len(sums["frames_all"])
    for name, values in sums.items():
        assert getattr(means, name) == pytest.approx(sum(values) / len(values), rel=1e-12)


def test_nothing_moved_and_one_frame() -> None:
    points = np.zeros((3, 4, 3))
    means = region_means(point_errors(points + 1, points), moved_points(points, 1.0))
    assert means.last_moved is None and means.frames_moved is None
    assert means.last_all == pytest.approx(3**0.5)
    single = region_means(point_errors(points[:1], points[:1]), moved_points(points[:1], 1.0))
    assert single.frames_all == 0.0


def test_bad_points_are_not_left_out() -> None:
    found = np.zeros((2, 3, 3))
    found[1, 2] = np.nan
    with pytest.raises(InputError, match="1 of the points"):
        point_errors(found, np.zeros((2, 3, 3)))
    with pytest.raises(ShapeError, match="P=3"):
        point_errors(np.zeros((2, 4, 3)), np.zeros((2, 3, 3)))
