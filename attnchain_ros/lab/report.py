"""The one report: Markdown tables of the table of scores, with pictures in a folder beside it.

It shows figures and says nothing about them: what they mean is written by people (docs/findings.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files.atomic import write_bytes
from .evaluation.tapvid import THRESHOLDS_PX
from .evaluation.worldtrack import THRESHOLDS_M
from .table import (
    Figures,
    Spread,
    by_clip,
    failed,
    mean_of,
    names_of,
    paired_difference,
    select,
    spread_of,
    succeeded,
)

if TYPE_CHECKING:
    import pandas as pd

TITLES: dict[str, str] = {
    "last_moved": "points that moved, last frame",
    "last_all": "all points, last frame",
    "frames_moved": "points that moved, all frames",
    "frames_all": "all points, all frames",
    "cd_3d": "CD-3D",
    "cd_4d": "CD-4D",
    "cd_m": "CD-M",
    "raw_cd_3d": "CD-3D = CD-4D, not aligned",
    "raw_cd_m": "CD-M, not aligned",
    "normals_nearest": "normal consistency, nearest",
    "normals_faces": "normal consistency, faces",
    "rotation_deg": "camera rotation, median [deg]",
    "translation": "camera translation, median",
    "camera_poses": "frames with a camera pose",
    "aj": "AJ",
    "delta_avg": "delta_avg",
    "oa": "OA",
    **{f"delta_{px}": f"delta at {px} px" for px in THRESHOLDS_PX},
    **{f"jaccard_{px}": f"Jaccard at {px} px" for px in THRESHOLDS_PX},
    "seg_a": "segA",
    "delta_3px": "delta-3px",
    "apd_dynamic": "APD_3D, points that move",
    "apd_all": "APD_3D, all points",
    **{f"within_{m:g}": f"within {m:g}, points that move" for m in THRESHOLDS_M},
    "drift": "CD-3D not aligned, last window over first",
    "token_correlation": "correlation of matched tokens, last window",
    **{
        f"{still}_{region}": f"{mesh} that stays still: {points}"
        for still, mesh in (("still", "the same anchor"), ("true_still", "true mesh"))
        for region, points in (
            ("last_moved", "points that moved, last frame"),
            ("last_all", "all points, last frame"),
            ("frames_moved", "points that moved, all frames"),
            ("frames_all", "all points, all frames"),
        )
    },
    "first_all": "all points, first frame (the anchor itself)",
    "moved_share": "share of points that moved by the last frame",
    "chamfer_raw": "Chamfer distance, not aligned, mean of frames",
    "chamfer_3d": "Chamfer distance, aligned in each frame by a similarity",
    "chamfer_4d": "Chamfer distance, aligned in the first frame by a similarity",
    "align_scale": "scale of the alignment in the first frame",
    "track_mean_px": "2D tracks, mean error [px]",
    "track_still_px": "... points that stay still [px]",
    "track_median_px": "2D tracks, median error [px]",
    "track_close": "2D tracks within 4 px (at 256 x 256)",
    "track_absent": "2D tracks without a position, share of those visible",
    "window_seconds": "seconds of a window (after the first, if there are several)",
    "seconds": "seconds",
}
"""Figures by metric, in the order of the tables, and what they are called. Lengths are object units if not said."""

CURVES: dict[str, tuple[str, str]] = {
    "frame_raw": ("frame", "CD-3D, not aligned"),
    "frame_3d": ("frame", "CD-3D, aligned in each frame"),
    "window_raw": ("window", "CD-3D, not aligned"),
    "window_correlation": ("window", "correlation of matched tokens"),
}
"""Curves of an evaluation, against what, and what plots call them."""

LENGTHS = (
    "Lengths are units of the object frame, in which the whole motion of a clip fits a sphere of radius 1; distances "
    "are not squared and both directions of a Chamfer distance are summed. A point has moved if it is more than 0.25 "
    'of the object\'s radius away from where it was in the first frame. "All frames" is every frame after the first.'
)
CELLS = "Cells are mean ± standard deviation over clips (number of clips)."
_PLACE = "PLOTS"
"""Stands in the sections for the folder of the pictures, which only the report knows."""


@dataclass(frozen=True)
class Section:
    """A part of a report.

    Attributes:
        title: its heading.
        lines: Markdown; ``picture`` makes those that show a plot.
        plots: PNG files by name.
    """

    title: str
    lines: list[str]
    plots: dict[str, bytes] = field(default_factory=dict)


def picture(name: str, title: str) -> str:
    """The Markdown of a plot."""
    return f"![{title}]({_PLACE}/{name}.png)"


def write_report(path: Path, title: str, identity: Mapping[str, Any], intro: str, sections: Sequence[Section]) -> str:
    """Write the report and return its text.

    Args:
        path: of the Markdown file; its pictures go to a folder of the same name without the ending.
        title: its heading.
        identity: what the run was, a line each; values that are dictionaries are left out.
        intro: how to read it.
        sections: one after another.
    Raises:
        FileFormatError: it cannot be written.
    """
    path = Path(path)
    folder = path.with_suffix("")
    lines = [f"# {title}", "", *(f"- {key}: {value}" for key, value in identity.items() if not isinstance(value, dict))]
    lines += ["", intro, ""]
    for section in sections:
        for plot, data in section.plots.items():
            write_bytes(folder / f"{plot}.png", data)
        text = "\n".join(section.lines).replace(f"]({_PLACE}/", f"]({folder.name}/").rstrip("\n")
        lines += [f"## {section.title}", "", text, ""]
    text = "\n".join(lines)
    write_bytes(path, text.encode())
    return text


def titles(*metrics: str) -> dict[str, str]:
    """Columns of a table: these metrics and what they are called."""
    return {metric: TITLES[metric] for metric in metrics}


def cell(value: Spread | None) -> str:
    """A figure of a table: mean ± standard deviation (number of clips)."""
    return "-" if value is None else f"{value.mean:.4g} ± {value.deviation:.2g} ({value.count})"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table, and an empty one.

    >>> markdown(["", "a"], [["b", "1"]])
    ['| | a |', '|---|---|', '| b | 1 |', '']
    """
    lines = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
    # An empty first title is written as one space.
    lines[0] = lines[0].replace("|  |", "| |", 1)
    return [lines[0], "|" + "---|" * len(head), *lines[1:], ""]


def table_lines(table: pd.DataFrame, columns: Mapping[str, str], head: str = "setting") -> list[str]:
    """A row for each variant, a column for each figure.

    Args:
        table: of one group.
        columns: metric to title; metrics that no variant has are left out.
        head: title of the first column.
    """
    shown = {name: title for name, title in columns.items() if mean_of(table, name) is not None}
    rows = []
    for variant, own in table.groupby("variant", sort=False):
        rows.append([str(variant), _of_all(own), *(cell(spread_of(own, name)) for name in shown)])
    return markdown([head, "clips that succeeded", *shown.values()], rows)


def method_lines(table: pd.DataFrame) -> list[str]:
    """A row for each figure of ``TITLES`` that there is, a column for each variant, and the failures."""
    parts = {str(variant): own for variant, own in table.groupby("variant", sort=False)}
    rows = [["items that succeeded", *map(_of_all, parts.values())]]
    for metric, title in TITLES.items():
        spreads = [spread_of(own, metric) for own in parts.values()]
        if any(value is not None for value in spreads):
            rows.append([title, *map(cell, spreads)])
    return [*markdown(["", *parts], rows), *(failure_lines(table) or ["Failures: none.", ""])]


def figure_lines(columns: Mapping[str, Figures]) -> list[str]:
    """Figures of single runs: a row for each figure of ``TITLES`` that there is, a column for each run."""
    rows = []
    for metric, title in TITLES.items():
        values = [own.get(metric) for own in columns.values()]
        if any(value is not None for value in values):
            rows.append([title, *("-" if value is None else f"{value:.4g}" for value in values)])
    return markdown(["", *columns], rows)


def family_lines(table: pd.DataFrame, metric: str, title: str) -> list[str]:
    """One figure of each variant: all clips, creatures, all others."""
    rows = []
    for variant, own in table.groupby("variant", sort=False):
        parts = (own, own[own["family"] == "creature"], own[own["family"] != "creature"])
        rows.append([str(variant), *(cell(spread_of(part, metric)) for part in parts)])
    return markdown([title, "all", "creatures", "others"], rows)


def failure_lines(table: pd.DataFrame) -> list[str]:
    """Lines that name every failure, none if there is none."""
    told = []
    for row in failed(table).itertuples():
        where = " ".join(filter(None, (row.dataset, row.clip, f"({row.family})" if row.family else "", row.motion)))
        told.append(f"- {where}, {f'{row.group}, {row.variant}' if row.group else row.variant}: {row.failure}")
    return ["Failures:", "", *told, ""] if told else []


def compare_lines(
    table: pd.DataFrame, columns: Mapping[str, str], default: str, larger_is_better: bool = False
) -> list[str]:
    """The best variant by each figure beside the one that the run uses, and by how much they differ on the same clips.

    Of equal variants the run's own is the best: there is no reason to leave it. The difference is a mean over clips
    with the standard error of that mean; there is none with fewer than two clips.
    Figures that no variant has are left out, and the table without any.

    Args:
        table: of one group, without baselines.
        columns: metric to title.
        default: the variant that the run uses.
        larger_is_better: otherwise the smallest is best.
    """
    rows = []
    for metric, title in columns.items():
        means = {name: mean_of(select(table, variant=name), metric) for name in names_of(table, "variant")}
        known = {name: -value if larger_is_better else value for name, value in means.items() if value is not None}
        if not known:
            continue
        best = min(known, key=lambda name: (known[name], name != default))
        own = means.get(default)
        difference = "-"
        if own is not None and best != default:
            first, second = (by_clip(select(table, variant=name), metric) for name in (default, best))
            found = paired_difference(first, second)
            if found is not None and found.count > 1:
                difference = f"{abs(found.mean):.2g} ± {found.deviation / np.sqrt(found.count):.2g}"
        rows.append([title, best, f"{means[best]:.4g}", default, "-" if own is None else f"{own:.4g}", difference])
    head = ["figure", "best", "its mean", "this run's", "its mean", "they differ, clip by clip, by (± standard error)"]
    return markdown(head, rows) if rows else []


def scalar(value: float | None, form: str = ".3f") -> str:
    """A single value of a table."""
    return "-" if value is None else f"{value:{form}}"


def _of_all(table: pd.DataFrame) -> str:
    good, tried = succeeded(table)
    return f"{good} of {tried}"
