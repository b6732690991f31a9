from __future__ import annotations

import pytest

from attnchain_ros.errors import Cancelled, MaskError
from attnchain_ros.lab.experiments.rows import (
    Figures,
    Row,
    Subject,
    compare_settings,
    failure_lines,
    family_lines,
    paired_difference,
    pooled_ratio,
    row_from_json,
    table_lines,
)


def rows_of(**settings: list[float | None]) -> list[Row]:
    """A row for each value of each setting; even clips are creatures."""
    return [
        Row("test", clip, "door" if clip % 2 else "creature", "t", name, {"e": value})
        for name, values in settings.items()
        for clip, value in enumerate(values)
    ]


def test_a_table_has_mean_spread_and_count() -> None:
    rows = [*rows_of(a=[1.0, None, 3.0], b=[2.0]), Row("test", 1, "door", "t", "b", failure="MaskError: empty")]
    assert table_lines(rows, {"e": "error", "absent": "x"}) == [
        "| setting | clips that succeeded | error |",
        "|---|---|---|",
        "| a | 3 of 3 | 2 ± 1.4 (2) |",
        "| b | 1 of 2 | 2 ± 0 (1) |",
        "",
    ]
    assert family_lines(rows, "e", "error")[2] == "| a | 2 ± 1.4 (2) | 2 ± 1.4 (2) | - |"
    assert failure_lines(rows) == ["Failures:", "", "- test 1 (door), t b: MaskError: empty", ""]
    assert failure_lines(rows_of(a=[1.0])) == []


def test_the_best_setting_is_said_with_how_sure_it_is() -> None:
    clear = rows_of(a=[1.0, 2.0, 3.0], b=[0.5, 1.5, 2.6])
    assert compare_settings(clear, "e", "error", "a") == (
        "The best setting by error is b (1.533); the default of this run is a (2); clip by clip they differ by "
        "0.47 ± 0.033 (standard error), more than two standard errors."
    )
    noisy = rows_of(a=[1.0, 2.0, 3.0], b=[3.0, 0.5, 2.0])
    assert compare_settings(noisy, "e", "error", "a").endswith("within two standard errors, so not clear.")
    assert compare_settings(clear, "e", "error", "a", lower_is_better=False).endswith("the default of this run.")
    assert compare_settings(rows_of(a=[1.0], b=[1.0]), "e", "error", "b") == (
        "The best setting by error is b (1), which is the default of this run."
    )
    assert compare_settings(rows_of(a=[1.0], b=[0.0]), "e", "error", "a").endswith("too few clips to tell them apart.")
    assert compare_settings(rows_of(a=[None]), "e", "error", "a") == "No clip has a figure for error."
    assert compare_settings(clear, "e", "error", "c").endswith("the default, c, has none.")


def test_differences_pair_the_same_clips() -> None:
    rows = rows_of(a=[1.0, 5.0, None], b=[0.0, 2.0, 9.0])
    found = paired_difference(rows[:3], rows[3:], "e")
    assert found is not None and (found.mean, found.count) == (2.0, 2)


def test_the_pooled_ratio_weighs_clips_by_what_moves() -> None:
    rows = [Row("test", n, "door", "t", "a", {"up": up, "low": low}) for n, (up, low) in enumerate([(1, 10), (4, 1)])]
    assert pooled_ratio(rows, "up", "low") == pytest.approx(5 / 11)
    assert pooled_ratio([Row("test", 0, "door", "t", "a", {"up": 1.0, "low": None})], "up", "low") is None


def test_errors_of_the_package_become_failures_and_others_do_not() -> None:
    subject = Subject("test", 3, "door")

    def fail(error: Exception) -> Figures:
        raise error

    row = subject.row("t", "a", lambda: fail(MaskError("empty")))
    assert row.failure == "MaskError: empty" and not row.figures
    for error in (Cancelled("stop"), ZeroDivisionError()):
        with pytest.raises(type(error)):
            subject.row("t", "a", lambda error=error: fail(error))
    good = subject.row("t", "a", lambda: ({"e": 1.0}, {"c": [1.0]}))
    assert row_from_json({**vars(good)}) == good and good.curves == {"c": [1.0]}
