from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from attnchain_ros.lab.evaluation.plots import mean_curve, plot_curves
from attnchain_ros.lab.evaluation.records import OURS, Record


def test_mean_of_curves_by_hand() -> None:
    mean, error = mean_curve([[1.0, 2, 5], [3.0, 2]])
    assert mean.tolist() == [2, 2, 5]
    # Standard deviations sqrt(2), 0 and (one curve) 0; divided by the root of the count.
    assert error.tolist() == pytest.approx([1, 0, 0])


def test_curves_are_drawn_and_empty_ones_are_not(tmp_path: Path) -> None:
    records = [
        Record("a", OURS, curves={"frame_raw": [0.1, 0.2], "window_raw": [0.1]}),
        Record("a", "still", curves={"frame_raw": [0.1, 0.4]}),
        Record("b", OURS, failure="gone"),
    ]
    written = plot_curves(tmp_path / "new", records)
    assert [path.name for path in written] == ["frame_raw.png"]
    picture = cv2.imread(str(written[0]))
    assert picture is not None and len(np.unique(picture.reshape(-1, 3), axis=0)) > 20
    assert plot_curves(tmp_path, []) == []
