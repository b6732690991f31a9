"""The tables of the report, on rows made by hand."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from attnchain_ros.errors import MaskError
from attnchain_ros.lab.evaluation.badja import BadjaScores
from attnchain_ros.lab.evaluation.tapvid import TapVidScores
from attnchain_ros.lab.evaluation.worldtrack import WorldTrackScores
from attnchain_ros.lab.report import (
    TITLES,
    Section,
    compare_lines,
    failure_lines,
    family_lines,
    figure_lines,
    method_lines,
    picture,
    table_lines,
    write_report,
)
from attnchain_ros.lab.table import Subject, concat

ERROR = {"e": "error"}


def clip(number: int) -> Subject:
    """Even clips are creatures."""
    return Subject("x", "test", str(number), "door" if number % 2 else "creature", "static")


def table_of(metric: str = "e", **variants: list[float | None]) -> pd.DataFrame:
    """A figure for each value of each variant, clip by clip."""
    return concat(
        clip(number).measure("", name, lambda value=value: {metric: value})
        for name, values in variants.items()
        for number, value in enumerate(values)
    )


def test_a_table_has_mean_spread_and_count() -> None:
    failure = clip(1).failure("t", "b", MaskError("empty"))
    table = concat([table_of(a=[1.0, None, 3.0], b=[2.0]), failure])
    assert table_lines(table, {"e": "error", "absent": "x"}) == [
        "| setting | clips that succeeded | error |",
        "|---|---|---|",
        "| a | 3 of 3 | 2 ± 1.4 (2) |",
        "| b | 1 of 2 | 2 ± 0 (1) |",
        "",
    ]
    assert family_lines(table, "e", "error")[2] == "| a | 2 ± 1.4 (2) | 2 ± 1.4 (2) | - |"
    assert failure_lines(table) == ["Failures:", "", "- test 1 (door) static, t, b: MaskError: empty", ""]
    assert failure_lines(table_of(a=[1.0])) == []


def test_a_table_of_methods() -> None:
    video = Subject("evaluate", "tapvid", "bear")
    table = concat([table_of("cd_3d", ours=[0.1, 0.3], still=[0.5, 0.7]), video.failure("", "ours", MaskError("no"))])
    lines = method_lines(table)
    assert lines[:4] == [
        "| | ours | still |",
        "|---|---|---|",
        "| items that succeeded | 2 of 3 | 2 of 2 |",
        "| CD-3D | 0.2 ± 0.14 (2) | 0.6 ± 0.14 (2) |",
    ]
    assert "- tapvid bear, ours: MaskError: no" in lines
    assert "Failures: none." in method_lines(table_of("cd_3d", ours=[0.1]))


def test_figures_of_single_runs() -> None:
    assert figure_lines({"given": {"aj": 0.5, "oa": None}, "image": {"last_moved": 0.25}}) == [
        "| | given | image |",
        "|---|---|---|",
        "| points that moved, last frame | - | 0.25 |",
        "| AJ | 0.5 | - |",
        "",
    ]


def row(lines: list[str]) -> list[str]:
    """The cells of the only row of a comparison, without the figure's name."""
    assert len(lines) == 4
    return lines[2].strip("| ").split(" | ")[1:]


def test_the_best_setting_is_shown_with_how_far_the_default_is_from_it() -> None:
    clear = table_of(a=[1.0, 2.0, 3.0], b=[0.5, 1.5, 2.6])
    assert compare_lines(clear, ERROR, "a")[2] == "| error | b | 1.533 | a | 2 | 0.47 ± 0.033 |"
    assert row(compare_lines(clear, ERROR, "a", larger_is_better=True)) == ["a", "2", "a", "2", "-"]
    # Of equal settings the default is the best, and one clip is no difference.
    assert row(compare_lines(table_of(a=[1.0], b=[1.0]), ERROR, "b")) == ["b", "1", "b", "1", "-"]
    assert row(compare_lines(table_of(a=[1.0], b=[0.0]), ERROR, "a")) == ["b", "0", "a", "1", "-"]
    assert row(compare_lines(clear, ERROR, "c")) == ["b", "1.533", "c", "-", "-"]
    assert compare_lines(table_of(a=[None]), ERROR, "a") == []


def test_the_report_and_its_pictures_lie_side_by_side(tmp_path: Path) -> None:
    section = Section("Part", [picture("dot", "A dot"), ""], {"dot": b"png"})
    identity = {"checksum": "abc123", "config": {"a": 1}}
    text = write_report(tmp_path / "new" / "found.md", "All", identity, "Read so.", [section])
    assert text == (tmp_path / "new" / "found.md").read_text(encoding="utf-8")
    assert text == "# All\n\n- checksum: abc123\n\nRead so.\n\n## Part\n\n![A dot](found/dot.png)\n"
    assert (tmp_path / "new" / "found" / "dot.png").read_bytes() == b"png"


def test_every_figure_of_the_benchmarks_has_a_title() -> None:
    track = TapVidScores(0.1, 0.2, 0.3, (0.1, 0.2, 0.3, 0.4, 0.5), (0.6, 0.7, 0.8, 0.9, 1.0))
    world = WorldTrackScores(0.5, None, (0.1, 0.2, 0.3, 0.4), 3, 4)
    figures = track.figures | BadjaScores(0.1, 0.2, 3).figures | world.figures
    assert set(figures) <= set(TITLES)
    assert (figures["delta_16"], figures["jaccard_1"], figures["within_0.5"]) == (1.0, 0.1, 0.3)
    nothing = WorldTrackScores(None, None, (), 0, 4).figures
    assert nothing["within_1"] is None
    assert len(set(TITLES.values())) == len(TITLES) and pytest.approx(0.3) == figures["oa"]
