"""The one table of scores, long: a row for each figure of one method or setting on one clip.

Columns:
    experiment: what was run, such as "steps" or "evaluate".
    dataset: a split of the synthetic clips, or a published benchmark.
    clip: its number or name, as text.
    family: of a synthetic clip; "" for a video.
    motion: of the camera; "" where it is not known.
    group: what is compared with one another, such as "layers" or ``BASELINES``; "" if there is one group only.
    variant: the method or setting.
    metric: a key of ``report.TITLES``; "" in a row that only says that there are no figures.
    place: number of the frame or window in a curve; ``WHOLE`` for a figure of the whole clip.
    value: float64; NaN = there is nothing to measure.
    failure: why there are no figures, "" if it did not fail; such a measurement has this one row.

A measurement is what shares ``KEYS``. pandas comes with the extra ``lab`` and is imported where a table is made: the
demonstration shows figures without a table and works without the extra.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AttnChainError, Cancelled
from ..files.atomic import write_bytes

if TYPE_CHECKING:
    import pandas as pd

KEYS = ("experiment", "dataset", "clip", "family", "motion", "group", "variant")
COLUMNS = (*KEYS, "metric", "place", "value", "failure")
CLIP = ("dataset", "clip", "motion")
"""What names a clip: settings are compared on the same one."""
WHOLE = -1
BASELINES = "baselines"

Figures = dict[str, float | None]
"""Values by metric; None = there is nothing to measure."""
Curves = dict[str, list[float]]
"""Values by metric, one for each frame or window."""


@dataclass(frozen=True)
class Measured:
    """What one method or setting reached on one clip."""

    figures: Figures = field(default_factory=dict)
    curves: Curves = field(default_factory=dict)


@dataclass(frozen=True)
class Subject:
    """The columns that name a clip; makes the rows of what is measured on it."""

    experiment: str
    dataset: str
    clip: str
    family: str = ""
    motion: str = ""

    def measure(self, group: str, variant: str, compute: Callable[[], Measured | Figures]) -> pd.DataFrame:
        """The rows of a variant; an error of this package's own becomes its failure.

        Raises:
            ValueError: a figure is not a finite number (None is for what cannot be measured).
        """
        try:
            found = compute()
        except Cancelled:
            raise
        except AttnChainError as error:
            return self.failure(group, variant, error)
        found = found if isinstance(found, Measured) else Measured(found)
        values = [(metric, WHOLE, math.nan if value is None else _finite(metric, value))
                  for metric, value in found.figures.items()]  # fmt: skip
        values += [(metric, place, _finite(metric, value)) for metric, curve in found.curves.items()
                   for place, value in enumerate(curve)]  # fmt: skip
        return self._rows(group, variant, values or [("", WHOLE, math.nan)], "")

    def failure(self, group: str, variant: str, error: Exception) -> pd.DataFrame:
        """The row of a variant that failed."""
        return self._rows(group, variant, [("", WHOLE, math.nan)], f"{type(error).__name__}: {error}")

    def _rows(self, group: str, variant: str, values: list[tuple[str, int, float]], failure: str) -> pd.DataFrame:
        named = [self.experiment, self.dataset, self.clip, self.family, self.motion, group, variant]
        return from_json([[*named, *value, failure] for value in values])


def _finite(metric: str, value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{metric} is {value}: give a finite number, or None if there is nothing to measure")
    return float(value)


def from_json(rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """The table of rows as ``to_json`` makes them."""
    import pandas as pd

    table = pd.DataFrame([tuple(row) for row in rows], columns=list(COLUMNS))
    return table.astype({"place": "int64", "value": "float64"})


def to_json(table: pd.DataFrame) -> list[list[Any]]:
    """Rows of JSON values in the order of ``COLUMNS``; NaN becomes None."""
    values = [None if math.isnan(value) else value for value in table["value"]]
    parts = [values if name == "value" else table[name].tolist() for name in COLUMNS]
    return [list(row) for row in zip(*parts, strict=True)]


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write it as CSV with every digit; ``pandas.read_csv`` reads it.

    Raises:
        FileFormatError: it cannot be written.
    """
    write_bytes(path, table.to_csv(index=False).encode())


def concat(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """One table of several, in their order."""
    import pandas as pd

    parts = [table for table in tables if len(table)]
    return pd.concat(parts, ignore_index=True) if parts else from_json([])


def select(table: pd.DataFrame, **wanted: object) -> pd.DataFrame:
    """The rows whose columns have these values."""
    keep = np.ones(len(table), bool)
    for column, value in wanted.items():
        keep &= (table[column] == value).to_numpy()
    return table[keep]


def names_of(table: pd.DataFrame, column: str) -> list[str]:
    """The values of a column, each once, in the order of the rows."""
    return [str(name) for name in table[column].unique()]


def failed(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of failures."""
    return table[table["failure"] != ""]


def succeeded(table: pd.DataFrame) -> tuple[int, int]:
    """How many measurements have not failed, and how many there are."""
    each = table.drop_duplicates(list(KEYS))
    return int((each["failure"] == "").sum()), len(each)


def by_clip(table: pd.DataFrame, metric: str) -> pd.Series[float]:
    """A figure of one variant, by clip (``CLIP``), where there is one.

    Raises:
        ValueError: a clip has several.
    """
    own = select(table, metric=metric, place=WHOLE)
    found: pd.Series[float] = own.set_index(list(CLIP), verify_integrity=True)["value"].dropna()
    return found


def values_of(table: pd.DataFrame, metric: str) -> np.ndarray:
    """[n] float64 a figure of every measurement that has it."""
    return np.asarray(select(table, metric=metric, place=WHOLE)["value"].dropna(), np.float64)


def curves_of(table: pd.DataFrame, metric: str) -> list[list[float]]:
    """A curve of every measurement that has it."""
    own = table[(table["metric"] == metric) & (table["place"] >= 0)].sort_values("place", kind="stable")
    return [part["value"].tolist() for _, part in own.groupby(list(KEYS), sort=False)]


@dataclass(frozen=True)
class Spread:
    """A figure over clips: mean, standard deviation over clips (0 for one clip) and number of clips that have it."""

    mean: float
    deviation: float
    count: int


def spread(values: Iterable[float]) -> Spread | None:
    """Mean and spread, None without values.

    >>> spread([1.0, 3.0])
    Spread(mean=2.0, deviation=1.4142135623730951, count=2)
    """
    known = np.array(list(values), np.float64)
    if not known.size:
        return None
    return Spread(float(known.mean()), float(known.std(ddof=1)) if known.size > 1 else 0.0, int(known.size))


def spread_of(table: pd.DataFrame, metric: str) -> Spread | None:
    """Spread of a figure over the measurements that have it."""
    return spread(values_of(table, metric))


def mean_of(table: pd.DataFrame, metric: str) -> float | None:
    """Mean of a figure over the measurements that have it."""
    found = spread_of(table, metric)
    return None if found is None else found.mean


def median_of(table: pd.DataFrame, metric: str) -> float | None:
    """Median of a figure over the measurements that have it."""
    known = values_of(table, metric)
    return float(np.median(known)) if known.size else None


def mean_ratio(above: pd.Series[float], below: pd.Series[float]) -> float | None:
    """Mean of one figure over the mean of another (``by_clip``), over the clips that have both.

    Each clip weighs by how much there is to measure, and one with almost nothing cannot blow it up.
    """
    above, below = above.align(below, join="inner")
    total = float(below.sum())
    return float(above.sum()) / total if total > 0 else None


def paired_difference(first: pd.Series[float], second: pd.Series[float]) -> Spread | None:
    """Spread of one figure less another (``by_clip``), over the clips that have both."""
    first, second = first.align(second, join="inner")
    return spread(first - second)
