"""The long table, on rows made by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from attnchain_ros.errors import Cancelled, MaskError
from attnchain_ros.lab.table import (
    COLUMNS,
    WHOLE,
    Figures,
    Measured,
    Spread,
    Subject,
    by_clip,
    concat,
    curves_of,
    failed,
    from_json,
    mean_of,
    mean_ratio,
    median_of,
    names_of,
    paired_difference,
    select,
    spread,
    succeeded,
    to_json,
    values_of,
    write_table,
)

DOOR = Subject("steps", "test", "3", "door", "static")


def table_of(**variants: list[float | None]) -> pd.DataFrame:
    """A figure "e" for each value of each variant, clip by clip."""
    return concat(
        Subject("x", "test", str(clip)).measure("", name, lambda value=value: {"e": value})
        for name, values in variants.items()
        for clip, value in enumerate(values)
    )


def test_a_measurement_has_a_row_for_each_figure_and_each_place_of_a_curve() -> None:
    table = DOOR.measure("g", "a", lambda: Measured({"e": 1.5, "none": None}, {"c": [2.0, 3.0]}))
    assert list(table.columns) == list(COLUMNS)
    named = ["steps", "test", "3", "door", "static", "g", "a"]
    assert to_json(table) == [
        [*named, "e", WHOLE, 1.5, ""],
        [*named, "none", WHOLE, None, ""],
        [*named, "c", 0, 2.0, ""],
        [*named, "c", 1, 3.0, ""],
    ]
    pd.testing.assert_frame_equal(from_json(to_json(table)), table)
    assert values_of(table, "e").tolist() == [1.5] and curves_of(table, "c") == [[2.0, 3.0]]
    # A curve is not a figure, nor the other way round, and what cannot be measured is neither.
    assert not len(values_of(table, "c")) and not curves_of(table, "e") and mean_of(table, "none") is None


def test_errors_of_the_package_become_failures_and_others_do_not() -> None:
    def fail(error: Exception) -> Figures:
        raise error

    table = DOOR.measure("g", "a", lambda: fail(MaskError("empty")))
    assert failed(table)["failure"].tolist() == ["MaskError: empty"] and succeeded(table) == (0, 1)
    for error in (Cancelled("stop"), ZeroDivisionError()):
        with pytest.raises(type(error)):
            DOOR.measure("g", "a", lambda error=error: fail(error))
    # One without any figure has not failed.
    both = concat([table, DOOR.measure("g", "b", dict)])
    assert succeeded(both) == (1, 2) and names_of(both, "variant") == ["a", "b"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_figures_that_are_no_numbers_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match=f"e is {value}"):
        DOOR.measure("g", "a", lambda: {"e": value})
    with pytest.raises(ValueError, match=f"c is {value}"):
        DOOR.measure("g", "a", lambda: Measured(curves={"c": [value]}))


def test_spread_mean_and_median_by_hand() -> None:
    assert spread([2.0, 4.0, 6.0]) == Spread(4.0, 2.0, 3)
    assert spread([]) is None and spread([5.0]) == Spread(5.0, 0.0, 1)
    table = table_of(a=[1.0, None, 5.0, 2.0])
    assert median_of(table, "e") == 2.0 and mean_of(table, "e") == pytest.approx(8 / 3)
    assert median_of(table, "other") is None and mean_of(concat([]), "e") is None


def test_differences_and_ratios_pair_the_same_clips() -> None:
    table = table_of(a=[1.0, 5.0, None], b=[0.0, 2.0, 9.0])
    first, second = (by_clip(select(table, variant=name), "e") for name in "ab")
    found = paired_difference(first, second)
    assert found is not None and (found.mean, found.count) == (2.0, 2)
    # Over the first two clips: each weighs by how much there is to measure.
    assert mean_ratio(first, second) == pytest.approx(6 / 2)
    assert mean_ratio(first, second[:0]) is None and paired_difference(first[:0], second) is None
    with pytest.raises(ValueError, match="duplicate"):
        by_clip(table, "e")


def test_clips_under_two_cameras_are_two() -> None:
    still, sway = (Subject("x", "test", "0", motion=motion) for motion in ("static", "sway"))
    table = concat([still.measure("", "a", lambda: {"e": 1.0}), sway.measure("", "a", lambda: {"e": 2.0})])
    assert by_clip(table, "e").tolist() == [1.0, 2.0]
    assert values_of(select(table, motion="sway"), "e").tolist() == [2.0]


def test_every_digit_is_in_the_file(tmp_path: Path) -> None:
    table = concat([table_of(a=[1 / 3, None]), DOOR.failure("g", "a", MaskError('quotes ", and a comma'))])
    write_table(tmp_path / "new" / "rows.csv", table)
    read = pd.read_csv(
        tmp_path / "new" / "rows.csv", dtype={"clip": str}, keep_default_na=False, na_values={"value": [""]},
        float_precision="round_trip",
    )  # fmt: skip
    pd.testing.assert_frame_equal(read, table, check_dtype=False)


def test_figures_without_a_table_need_no_pandas() -> None:
    """The demonstration works without the extra."""
    code = (
        "import sys; sys.modules['pandas'] = sys.modules['matplotlib'] = None\n"
        "from attnchain_ros.lab.evaluation.scores import score_motion\n"
        "from attnchain_ros.lab.evaluation.synthetic import SyntheticSet\n"
        "from attnchain_ros.lab.report import figure_lines\n"
        "print(figure_lines({'a': {'aj': 0.5}})[2])"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False,
                          cwd=Path(__file__).resolve().parents[2])  # fmt: skip
    assert done.stdout == "| AJ | 0.5 |\n", done.stderr
