"""What one method reached on one item: figures, curves, or why there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from .actionbench import CloudScores
from .badja import BadjaScores
from .tapvid import THRESHOLDS_PX, TapVidScores
from .worldtrack import THRESHOLDS_M, WorldTrackScores

OURS = "attention chain"
"""The method's name in tables; every other name is a baseline."""

FIGURES: dict[str, str] = {
    "cd_3d": "CD-3D, aligned in each frame",
    "cd_4d": "CD-4D, aligned in the first frame",
    "cd_m": "CD-M, aligned in the first frame",
    "raw_cd_3d": "CD-3D, not aligned",
    "raw_cd_4d": "CD-4D, not aligned",
    "raw_cd_m": "CD-M, not aligned",
    "normals_nearest": "normal consistency, nearest points",
    "normals_faces": "normal consistency, adjacent faces",
    "drift": "CD-3D not aligned, last window over first",
    "token_correlation": "correlation of matched tokens, last window",
    "aj": "AJ, average Jaccard",
    "delta_avg": "delta_avg, average position accuracy",
    "oa": "OA, occlusion accuracy",
    **{f"delta_{px}": f"delta at {px} px" for px in THRESHOLDS_PX},
    **{f"jaccard_{px}": f"Jaccard at {px} px" for px in THRESHOLDS_PX},
    "seg_a": "segA",
    "delta_3px": "delta-3px",
    "apd_dynamic": "APD_3D, points that move",
    "apd_all": "APD_3D, all points",
    **{f"within_{m:g}": f"APD_3D within {m:g}, points that move" for m in THRESHOLDS_M},
}
"""Every figure of a record, in the order of the tables, and what tables call it."""

CURVES: dict[str, tuple[str, str]] = {
    "frame_raw": ("frame", "CD-3D, not aligned"),
    "frame_3d": ("frame", "CD-3D, aligned in each frame"),
    "window_raw": ("window", "CD-3D, not aligned"),
    "window_correlation": ("window", "correlation of matched tokens"),
}
"""Every curve of a record, against what, and what plots call it."""


@dataclass(frozen=True)
class Record:
    """One method on one item.

    Attributes:
        item: name of the video, clip or object.
        method: ``OURS`` or a baseline.
        figures: names from ``FIGURES``; None where there is nothing to measure.
        curves: names from ``CURVES``.
        failure: why there are no figures, "" if there are.
        seconds: the method took.
        notes: what it said.
    """

    item: str
    method: str
    figures: dict[str, float | None] = field(default_factory=dict)
    curves: dict[str, list[float]] = field(default_factory=dict)
    failure: str = ""
    seconds: float | None = None
    notes: tuple[str, ...] = ()


def cloud_figures(scores: CloudScores) -> dict[str, float | None]:
    """Figures of a record."""
    names = ("cd_3d", "cd_4d", "cd_m", "raw_cd_3d", "raw_cd_4d", "raw_cd_m", "normals_nearest", "normals_faces")
    return {name: getattr(scores, name) for name in names}


def tapvid_figures(scores: TapVidScores) -> dict[str, float | None]:
    """Figures of a record, with those of every threshold."""
    found: dict[str, float | None] = {"aj": scores.aj, "delta_avg": scores.delta_avg, "oa": scores.oa}
    for px, delta, jaccard in zip(THRESHOLDS_PX, scores.delta, scores.jaccard, strict=True):
        found |= {f"delta_{px}": delta, f"jaccard_{px}": jaccard}
    return found


def badja_figures(scores: BadjaScores) -> dict[str, float | None]:
    """Figures of a record."""
    return {"seg_a": scores.seg_a, "delta_3px": scores.delta_3px}


def worldtrack_figures(scores: WorldTrackScores) -> dict[str, float | None]:
    """Figures of a record, with those of every threshold."""
    shares = scores.within_dynamic or (None,) * len(THRESHOLDS_M)
    within = {f"within_{m:g}": share for m, share in zip(THRESHOLDS_M, shares, strict=True)}
    return {"apd_dynamic": scores.apd_dynamic, "apd_all": scores.apd_all, **within}


@dataclass(frozen=True)
class Spread:
    """A figure over items: mean, standard deviation over items (0 for one item) and number of items that have it."""

    mean: float
    deviation: float
    count: int


def spread(values: Sequence[float | None]) -> Spread | None:
    """Mean and spread of the values there are, None without any.

    >>> spread([1.0, None, 3.0])
    Spread(mean=2.0, deviation=1.4142135623730951, count=2)
    """
    known = np.array([value for value in values if value is not None], np.float64)
    if not known.size:
        return None
    return Spread(float(known.mean()), float(known.std(ddof=1)) if known.size > 1 else 0.0, int(known.size))


@dataclass(frozen=True)
class MethodTable:
    """One method over all items.

    Attributes:
        method: its name.
        items: how many were tried; succeeded: how many have figures; failures: the others, "bear: why".
        figures: spread of every figure that any record has; a mean over items, each counting once.
        seconds: spread of the time an item took.
    """

    method: str
    items: int
    succeeded: int
    failures: tuple[str, ...]
    figures: dict[str, Spread | None]
    seconds: Spread | None


def tabulate(records: Sequence[Record]) -> list[MethodTable]:
    """One table for every method, in the order of their first record."""
    tables = []
    for method in dict.fromkeys(record.method for record in records):
        own = [record for record in records if record.method == method]
        good = [record for record in own if not record.failure]
        names = [name for name in FIGURES if any(name in record.figures for record in good)]
        tables.append(
            MethodTable(
                method=method,
                items=len(own),
                succeeded=len(good),
                failures=tuple(f"{record.item}: {record.failure}" for record in own if record.failure),
                figures={name: spread([record.figures.get(name) for record in good]) for name in names},
                seconds=spread([record.seconds for record in good]),
            )
        )
    return tables


def records_markdown(records: Sequence[Record]) -> list[str]:
    """Lines of a Markdown table, a row for each figure and a column for each method, and the failures."""
    tables = tabulate(records)
    lines = [
        "| | " + " | ".join(table.method for table in tables) + " |",
        "|---|" + "---|" * len(tables),
        "| items that succeeded | " + " | ".join(f"{table.succeeded} of {table.items}" for table in tables) + " |",
    ]
    for name, label in FIGURES.items():
        if any(name in table.figures for table in tables):
            lines.append(f"| {label} | " + " | ".join(cell(table.figures.get(name)) for table in tables) + " |")
    lines.append("| seconds | " + " | ".join(cell(table.seconds) for table in tables) + " |")
    failures = [f"- {table.method}, {text}" for table in tables for text in table.failures]
    return [*lines, "", "Failures:", "", *(failures or ["None."]), ""]


def cell(value: Spread | None) -> str:
    """A figure of a table: mean ± standard deviation (number of items)."""
    return "-" if value is None else f"{value.mean:.4g} ± {value.deviation:.2g} ({value.count})"
