from __future__ import annotations

import numpy as np

from attnchain_ros.lab.evaluation.synthetic_records import DENSE, SPARSE, STILL_POINTS
from attnchain_ros.lab.evaluation.tracks import TrueTracks
from attnchain_ros.lab.experiments import tracks
from attnchain_ros.lab.experiments.bench import Bench, Task
from attnchain_ros.lab.experiments.rows import Row, names_of
from attnchain_ros.lab.synthetic import CAMERAS


def test_hidden_points_are_counted_frame_by_frame() -> None:
    """Two of the four kept points are hidden at some time, but never more than one at a time."""
    visible = np.ones((3, 5), bool)
    visible[1, 0] = visible[2, 1] = False
    visible[:, 4] = False  # not among the kept ones
    true = TrueTracks(np.zeros((3, 5, 2)), visible, np.zeros((3, 5, 3)), np.ones(5, bool))
    assert tracks.hidden_share(true, np.arange(4)) == 0.25


def test_windows_with_occlusion_keep_all_their_rows() -> None:
    def row(clip: int, setting: str, hidden: float | None, failure: str = "") -> Row:
        figures = {} if hidden is None else {"hidden": hidden}
        return Row("test", clip, "door", "2D tracks, static", setting, figures, failure=failure)

    rows = [row(0, "a", 0.1), row(0, "b", None, "MaskError: x"), row(1, "a", 0.0999), row(1, "b", 0.0999)]
    assert [(found.clip, found.setting) for found in tracks.occluded(rows)] == [(0, "a"), (0, "b")]


def test_every_route_and_baseline_is_measured_under_every_camera(bench: Bench) -> None:
    rows = tracks.run(bench, Task("tracks", "test", 2))
    assert [row.failure for row in rows] == [""] * len(rows)
    flows = [row for row in rows if row.table.startswith(tracks.FLOWS)]
    wanted = ["patch argmax", "patch soft-argmax", tracks.MESH_ROUTE, tracks.IMAGE_ROUTE, STILL_POINTS, DENSE, SPARSE]
    assert names_of(flows, "setting") == wanted
    assert names_of(flows, "table") == [f"{tracks.FLOWS}, {camera}" for camera in CAMERAS]
    assert all(0 <= (row.figures["oa"] or 0) <= 1 for row in flows)
    section = tracks.describe(bench, rows)
    text = "\n".join(section.lines)
    assert "windows with occlusion" in text and "APD_3D" in text and set(section.plots) == {"tracks"}


def test_a_camera_that_turns_leaves_still_points_behind(bench: Bench) -> None:
    """A door that hardly opens in four frames; in the first of them nothing can be hidden."""
    rows = tracks.run(bench, Task("tracks", "test", 2))
    still = {row.table.split(", ")[1]: row.figures for row in rows if row.setting == STILL_POINTS}
    assert (still["static"]["delta_avg"] or 0) > 0.8 > (still["orbit"]["delta_avg"] or 0)
    # Every row of a window knows how much of it is hidden.
    assert all(row.figures["hidden"] == still[row.table.split(", ")[1]]["hidden"] for row in rows)
