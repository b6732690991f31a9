from __future__ import annotations

import cv2
import numpy as np
import pytest

from attnchain_ros.lab.charts import draw_curves, draw_points, draw_settings, mean_curve


def colours(data: bytes) -> int:
    """How many colours a picture has."""
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return len(np.unique(picture.reshape(-1, 3), axis=0))


def test_mean_of_curves_by_hand() -> None:
    mean, error = mean_curve([[1.0, 2, 5], [3.0, 2]])
    assert mean.tolist() == [2, 2, 5]
    # Standard deviations sqrt(2), 0 and (one curve) 0; divided by the root of the count.
    assert error.tolist() == pytest.approx([1, 0, 0])


def test_pictures_show_something_and_are_the_same_for_the_same_figures() -> None:
    curves = {"ours": [[0.1, 0.2], [0.2, 0.1]], "still": [], "other": [[0.3, 0.4]]}
    assert colours(draw_curves(curves, "frame", "error")) > colours(draw_curves({}, "frame", "error"))
    assert draw_curves(curves, "frame", "error", [1, 10]) == draw_curves(curves, "frame", "error", [1, 10])
    values = {"one": {"a": np.array([0.1, 0.2]), "b": np.array([])}, "two": {"a": np.array([0.3])}}
    assert colours(draw_settings(values, "error", {"one": "a"})) > 20
    assert colours(draw_points({"one": [(0.1, 0.2)], "two": []}, "probe", "error")) > 20
