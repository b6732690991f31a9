"""What an experiment finds for one setting on one clip, and tables of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import AttnChainError, Cancelled
from ..evaluation.records import Spread, cell, spread

Figures = dict[str, float | None]
Curves = dict[str, list[float]]


@dataclass(frozen=True)
class Row:
    """One setting on one clip.

    Attributes:
        split, clip, family: which clip.
        table: the group of settings it belongs to, "" if there is one only.
        setting: its name in tables.
        figures: by name; None where there is nothing to measure.
        curves: by name.
        failure: why there are no figures, "" if there are.
    """

    split: str
    clip: int
    family: str
    table: str
    setting: str
    figures: Figures = field(default_factory=dict)
    curves: Curves = field(default_factory=dict)
    failure: str = ""


def row_from_json(values: dict[str, Any]) -> Row:
    """A ``Row`` from what ``dataclasses.asdict`` and JSON made of it."""
    return Row(**values)


@dataclass(frozen=True)
class Subject:
    """Which clip rows are about."""

    split: str
    clip: int
    family: str

    def row(self, table: str, setting: str, measure: Callable[[], Figures | tuple[Figures, Curves]]) -> Row:
        """The row of a setting; an error of this package's own becomes its failure."""
        empty = Row(self.split, self.clip, self.family, table, setting)
        try:
            found = measure()
        except Cancelled:
            raise
        except AttnChainError as error:
            return dataclasses.replace(empty, failure=f"{type(error).__name__}: {error}")
        figures, curves = found if isinstance(found, tuple) else (found, {})
        return dataclasses.replace(empty, figures=figures, curves=curves)


def select(rows: Iterable[Row], **wanted: object) -> list[Row]:
    """Rows whose attributes have these values."""
    return [row for row in rows if all(getattr(row, name) == value for name, value in wanted.items())]


def names_of(rows: Iterable[Row], attribute: str) -> list[str]:
    """The values of an attribute, each once, in the order of the rows."""
    return list(dict.fromkeys(str(getattr(row, attribute)) for row in rows))


def values_of(rows: Iterable[Row], figure: str) -> list[float | None]:
    """A figure of every row that did not fail."""
    return [row.figures.get(figure) for row in rows if not row.failure]


def mean_of(rows: Iterable[Row], figure: str) -> float | None:
    """Mean of a figure over the rows that have it."""
    found = spread(values_of(rows, figure))
    return None if found is None else found.mean


def median_of(rows: Iterable[Row], figure: str) -> float | None:
    """Median of a figure over the rows that have it."""
    known = [value for value in values_of(rows, figure) if value is not None]
    return float(np.median(known)) if known else None


def pooled_ratio(rows: Iterable[Row], above: str, below: str) -> float | None:
    """Mean of one figure over the mean of another, over the rows that have both.

    Each clip weighs by how much there is to measure, and one with almost nothing cannot blow it up.
    """
    pairs = [(row.figures.get(above), row.figures.get(below)) for row in rows if not row.failure]
    known = [(first, second) for first, second in pairs if first is not None and second is not None]
    total = sum(second for _, second in known)
    return sum(first for first, _ in known) / total if total > 0 else None


def table_lines(rows: Sequence[Row], columns: dict[str, str], head: str = "setting") -> list[str]:
    """Lines of a Markdown table: a row for each setting, a column for each figure: mean ± deviation (number of clips).

    Args:
        rows: of one table.
        columns: figure to its title; figures that no row has are left out.
        head: title of the first column.
    """
    shown = {name: title for name, title in columns.items() if any(row.figures.get(name) is not None for row in rows)}
    lines = [
        f"| {head} | clips that succeeded | " + " | ".join(shown.values()) + " |",
        "|---|---|" + "---|" * len(shown),
    ]
    for setting in names_of(rows, "setting"):
        own = select(rows, setting=setting)
        good = sum(not row.failure for row in own)
        cells = [cell(spread(values_of(own, name))) for name in shown]
        lines.append(f"| {setting} | {good} of {len(own)} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def family_lines(rows: Sequence[Row], figure: str, title: str) -> list[str]:
    """Lines of a table of one figure: all clips, creatures, all others."""
    kinds: dict[str, Callable[[Row], bool]] = {
        "all": lambda row: True,
        "creatures": lambda row: row.family == "creature",
        "others": lambda row: row.family != "creature",
    }
    lines = [f"| {title} | " + " | ".join(kinds) + " |", "|---|" + "---|" * len(kinds)]
    for setting in names_of(rows, "setting"):
        own = select(rows, setting=setting)
        spreads = [spread(values_of([row for row in own if keep(row)], figure)) for keep in kinds.values()]
        lines.append(f"| {setting} | " + " | ".join(map(cell, spreads)) + " |")
    return [*lines, ""]


def failure_lines(rows: Iterable[Row]) -> list[str]:
    """Lines that name every failure, none if there is none."""
    failed = [row for row in rows if row.failure]
    if not failed:
        return []
    told = [f"- {row.split} {row.clip} ({row.family}), {row.table} {row.setting}: {row.failure}" for row in failed]
    return ["Failures:", "", *told, ""]


def compare_settings(rows: Sequence[Row], figure: str, title: str, default: str, lower_is_better: bool = True) -> str:
    """A sentence: the best setting, the default, and whether clip by clip the difference is more than chance.

    The difference counts as clear if its mean over clips is more than two standard errors of that mean.

    Args:
        rows: of one table, without baselines.
        figure, title: what is compared and what the sentence calls it.
        default: the setting that the run uses.
        lower_is_better: otherwise the largest is best.
    """
    sign = 1.0 if lower_is_better else -1.0
    means = {name: mean_of(select(rows, setting=name), figure) for name in names_of(rows, "setting")}
    known = {name: value for name, value in means.items() if value is not None}
    if not known:
        return f"No clip has a figure for {title}."
    # Of equal settings the default is the best: there is no reason to leave it.
    best = min(known, key=lambda name: (sign * known[name], name != default))
    text = f"The best setting by {title} is {best} ({known[best]:.4g})"
    if default not in known:
        return text + f"; the default, {default}, has none."
    if best == default:
        return text + ", which is the default of this run."
    difference = paired_difference(select(rows, setting=default), select(rows, setting=best), figure)
    text += f"; the default of this run is {default} ({known[default]:.4g})"
    if difference is None or difference.count < 2:
        return text + "; there are too few clips to tell them apart."
    error = difference.deviation / np.sqrt(difference.count)
    clear = abs(difference.mean) > 2 * error
    verdict = "more than two standard errors" if clear else "within two standard errors, so not clear"
    return text + f"; clip by clip they differ by {abs(difference.mean):.2g} ± {error:.2g} (standard error), {verdict}."


def paired_difference(first: Iterable[Row], second: Iterable[Row], figure: str) -> Spread | None:
    """Spread over clips of a figure in one setting less that in another, over the clips that have both."""
    others = {(row.split, row.clip): row.figures.get(figure) for row in second}
    differences: list[float | None] = []
    for row in first:
        value, other = row.figures.get(figure), others.get((row.split, row.clip))
        differences.append(None if value is None or other is None else value - other)
    return spread(differences)
