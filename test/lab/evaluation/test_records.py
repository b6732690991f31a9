from __future__ import annotations

import dataclasses

import pytest

from attnchain_ros.lab.evaluation.badja import BadjaScores
from attnchain_ros.lab.evaluation.records import (
    FIGURES,
    OURS,
    Record,
    badja_figures,
    records_markdown,
    tabulate,
    tapvid_figures,
    worldtrack_figures,
)
from attnchain_ros.lab.evaluation.tapvid import TapVidScores
from attnchain_ros.lab.evaluation.worldtrack import WorldTrackScores

RECORDS = [
    Record("a", OURS, {"cd_3d": 0.1, "drift": None}, seconds=2.0),
    Record("a", "still", {"cd_3d": 0.5}),
    Record("b", OURS, failure="MaskError: no mask"),
    Record("b", "still", {"cd_3d": 0.7}),
    Record("c", OURS, {"cd_3d": 0.3, "drift": 1.5}, seconds=4.0),
]


def test_table_by_hand() -> None:
    ours, still = tabulate(RECORDS)
    assert (ours.method, ours.items, ours.succeeded, ours.failures) == (OURS, 3, 2, ("b: MaskError: no mask",))
    assert ours.figures["cd_3d"] is not None and ours.figures["cd_3d"].mean == pytest.approx(0.2)
    assert ours.figures["drift"] is not None and ours.figures["drift"].count == 1
    assert ours.seconds is not None and ours.seconds.mean == 3.0
    assert (still.items, still.succeeded, still.seconds) == (2, 2, None)


def test_markdown() -> None:
    lines = records_markdown(RECORDS)
    rows = [line for line in lines if line.startswith("|")]
    assert {row.count("|") for row in rows} == {4}
    assert "| items that succeeded | 2 of 3 | 2 of 2 |" in rows
    assert "| CD-3D, aligned in each frame | 0.2 ± 0.14 (2) | 0.6 ± 0.14 (2) |" in rows
    assert "- attention chain, b: MaskError: no mask" in lines
    assert records_markdown(RECORDS[:2])[-2] == "None."


def test_every_figure_has_a_place_in_the_tables() -> None:
    track = TapVidScores(0.1, 0.2, 0.3, (0.1, 0.2, 0.3, 0.4, 0.5), (0.6, 0.7, 0.8, 0.9, 1.0))
    world = WorldTrackScores(0.5, None, (0.1, 0.2, 0.3, 0.4), 3, 4)
    figures = tapvid_figures(track) | badja_figures(BadjaScores(0.1, 0.2, 3)) | worldtrack_figures(world)
    assert set(figures) <= set(FIGURES)
    assert (figures["delta_16"], figures["jaccard_1"], figures["within_0.5"]) == (1.0, 0.1, 0.3)
    nothing = worldtrack_figures(dataclasses.replace(world, within_dynamic=(), apd_dynamic=None))
    assert nothing["within_1"] is None
