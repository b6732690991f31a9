from __future__ import annotations

import numpy as np
import pandas as pd

from attnchain_ros.errors import MaskError
from attnchain_ros.lab.evaluation.methods import DENSE, SPARSE, STILL_POINTS
from attnchain_ros.lab.evaluation.tracks import TrueTracks
from attnchain_ros.lab.experiments import tracks
from attnchain_ros.lab.experiments.bench import Bench, Task
from attnchain_ros.lab.synthetic import CAMERAS
from attnchain_ros.lab.table import Figures, Subject, concat, mean_of, names_of, select, succeeded, values_of


def test_hidden_points_are_counted_frame_by_frame() -> None:
    """Two of the four kept points are hidden at some time, but never more than one at a time."""
    visible = np.ones((3, 5), bool)
    visible[1, 0] = visible[2, 1] = False
    visible[:, 4] = False  # not among the kept ones
    true = TrueTracks(np.zeros((3, 5, 2)), visible, np.zeros((3, 5, 3)), np.ones(5, bool))
    assert tracks.hidden_share(true, np.arange(4)) == 0.25


def test_windows_with_occlusion_keep_all_their_rows() -> None:
    def row(clip: int, variant: str, figures: Figures, motion: str = "static") -> pd.DataFrame:
        return Subject("tracks", "test", str(clip), "door", motion).measure(tracks.FLOWS, variant, lambda: figures)

    failure = Subject("tracks", "test", "0", "door", "static").failure(tracks.FLOWS, "b", MaskError("x"))
    some, few = {"aj": 0.5, "hidden": 0.1}, {"aj": 0.5, "hidden": 0.0999}
    table = concat([row(0, "a", some), failure, row(1, "a", few), row(1, "b", few), row(0, "a", few, "sway")])
    found = tracks.occluded(table)
    assert found[["clip", "motion", "variant", "metric"]].to_numpy().tolist() == [
        ["0", "static", "a", "aj"], ["0", "static", "a", "hidden"], ["0", "static", "b", ""],
    ]  # fmt: skip


def test_nothing_is_occluded_in_an_empty_table() -> None:
    nothing = tracks.occluded(concat([]))
    assert not len(nothing) and not len(select(nothing, variant="a"))


def test_every_route_and_baseline_is_measured_under_every_camera(bench: Bench) -> None:
    table = tracks.run(bench, Task("tracks", "test", 2))
    good, tried = succeeded(table)
    assert good == tried
    flows = select(table, group=tracks.FLOWS)
    wanted = ["patch argmax", "patch soft-argmax", tracks.MESH_ROUTE, tracks.IMAGE_ROUTE, STILL_POINTS, DENSE, SPARSE]
    assert names_of(flows, "variant") == wanted and names_of(flows, "motion") == list(CAMERAS)
    accuracy = values_of(flows, "oa")
    assert len(accuracy) == len(wanted) * len(CAMERAS) and (accuracy >= 0).all() and (accuracy <= 1).all()
    section = tracks.describe(bench, table)
    text = "\n".join(section.lines)
    assert "windows with occlusion" in text and "APD_3D" in text and set(section.plots) == {"tracks"}
    # A door that hardly opens in four frames, in the first of which nothing can be hidden: a camera that turns leaves
    # still points behind.
    still = select(table, variant=STILL_POINTS)
    static, orbit = (mean_of(select(still, motion=motion), "delta_avg") for motion in ("static", "orbit"))
    assert static is not None and orbit is not None and static > 0.8 > orbit
    # Every row of a window knows how much of it is hidden.
    for motion in CAMERAS:
        hidden = values_of(select(table, motion=motion), "hidden")
        assert (hidden == hidden[0]).all() and len(hidden) == 12
