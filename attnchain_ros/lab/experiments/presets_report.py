"""What is told of the two presets: tables by kind of sequence, what was wanted, drift and reliability."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..charts import draw_curves, draw_points
from ..evaluation.methods import DENSE, STILL
from ..report import Section, failure_lines, markdown, picture, scalar, table_lines, titles
from ..table import by_clip, curves_of, mean_of, mean_ratio, median_of, names_of, select
from .targets import AT_LEAST, AT_MOST, Target

if TYPE_CHECKING:
    import pandas as pd

    from .bench import Bench

TITLE = "Both presets, one window and 241 frames"
ONE_WINDOW, TO_AND_FRO, GOES_ON, ROUND = "one window", "to and fro", "goes on", "all round"
"""Groups: a window under each camera; 241 frames forwards and backwards; 241 frames that do not repeat; 241 frames in
which the object is seen from all sides and, at the end, from the first one again."""
PAPER, FULL = "paper", "full"

_FIGURES = {
    "all": "all points",
    "moved": "points that moved",
    "last_moved": "points that moved, last frame",
    "all_first": "all points, first window",
    "all_last": "all points, last window",
    "moved_last": "moved, last window",
    **titles("aj", "delta_avg", "oa", "rotation_deg", "camera_poses", "cd_3d", "cd_4d", "cd_m", "seconds"),
}
_TOLD = {
    ONE_WINDOW: "One window under each of three cameras; Chamfer distances under the still one.",
    TO_AND_FRO: "16 frames, forwards and backwards, 241 in all, under a camera that stands still.",
    GOES_ON: "241 frames of motion that does not repeat, under a camera that stands still.",
    ROUND: "241 frames under a camera that goes once round the object by 1.5 degrees a frame, which, cut out, is the "
    "same as an object that turns and comes back. Errors are those in the camera's frame, where it does not matter who "
    "is said to turn.",
}


def describe(bench: Bench, table: pd.DataFrame) -> Section:
    """Wanted and reached, a table for each kind of sequence, cameras by family, drift and reliability."""
    lines = [
        "From the true mesh of the first frame with the true intrinsics; cameras are estimated, poses are used whether "
        "trusted or not. Queries are a grid of at most 256 pixels. Nothing is aligned but for Chamfer distances.",
        "",
        "### Wanted and reached",
        "",
        *wanted_lines(table),
    ]
    plots = {}
    for group, told in _TOLD.items():
        own = select(table, group=group)
        if not len(own):
            continue
        lines += [f"### {group.capitalize()}", "", told, "", *table_lines(own, _FIGURES, "variant")]
        if group == ONE_WINDOW:
            lines += camera_lines(own)
            continue
        curves = {name: curves_of(select(own, variant=name), "all") for name in names_of(own, "variant")}
        name = f"presets_{group.replace(' ', '_')}"
        plots[name] = draw_curves({key: value for key, value in curves.items() if value}, "window", "all points")
        lines += [picture(name, f"All points, {group}, object units"), ""]
    groups = {name: reliability(select(table, variant=name)) for name in (PAPER, FULL)}
    if any(groups.values()):
        even = [(share, share) for share in np.linspace(0.05, 0.95, 10)]
        told = "share within 4 px"
        plots["presets_confidence"] = draw_points({**groups, "as it says": even}, "confidence", told)
        lines += [picture("presets_confidence", "Confidence of 2D tracks and how many of them are right"), ""]
    return Section(TITLE, [*lines, *failure_lines(table)], plots)


def wanted_lines(table: pd.DataFrame) -> list[str]:
    """What was wanted of the preset "full" before it was measured, and what both presets reach."""
    rows = []
    for paper, full in zip(preset_targets(table, PAPER), preset_targets(table, FULL), strict=True):
        before = "-" if paper.found is None else f"{paper.found:.3g}"
        name, wanted, reached, verdict = full.row()
        rows.append([name, wanted, before, reached, verdict])
    return markdown(["", "wanted", PAPER, FULL, "reached"], rows)


def preset_targets(table: pd.DataFrame, variant: str) -> list[Target]:
    """Every target with what one preset reaches."""
    own = select(table, variant=variant)
    one, fro, on = (select(own, group=group) for group in (ONE_WINDOW, TO_AND_FRO, GOES_ON))
    rest, still = select(one, motion="static"), select(table, variant=STILL, group=ONE_WINDOW, motion="static")
    flow = select(table, variant=DENSE, group=GOES_ON)
    families = [median_of(select(one, family=family), "rotation_deg") for family in names_of(one, "family")]
    return [
        Target("to and fro: all points, last window over first", AT_MOST, 1.2,
               mean_ratio(by_clip(fro, "all_last"), by_clip(fro, "all_first"))),
        Target("to and fro: share of windows nearer than the still mesh", AT_LEAST, 1.0,
               share_below(fro, select(table, variant=STILL, group=TO_AND_FRO))),
        Target("goes on: all points", AT_MOST, 0.045, mean_of(on, "all")),
        Target("goes on: points that moved, last window", AT_MOST, 0.09, mean_of(on, "moved_last")),
        Target("one window: points that moved, last frame, over still", AT_MOST, 0.20,
               mean_ratio(by_clip(rest, "last_moved"), by_clip(still, "last_moved"))),
        Target("one window, all cameras: AJ", AT_LEAST, 0.64, mean_of(one, "aj")),
        Target("... delta_avg", AT_LEAST, 0.77, mean_of(one, "delta_avg")),
        Target("... OA", AT_LEAST, 0.93, mean_of(one, "oa")),
        Target("goes on: delta_avg over DIS flow's", AT_LEAST, 1.3,
               mean_ratio(by_clip(on, "delta_avg"), by_clip(flow, "delta_avg"))),
        Target("camera rotation, median over clips and motions [deg]", AT_MOST, 5.0, median_of(one, "rotation_deg")),
        Target("... of the worst family", AT_MOST, 10.0,
               max((value for value in families if value is not None), default=None)),
        Target("CD-3D of one window", AT_MOST, 0.036, mean_of(rest, "cd_3d")),
        Target("CD-4D of one window", AT_MOST, 0.0432, mean_of(rest, "cd_4d")),
        Target("CD-M of one window", AT_MOST, 0.0864, mean_of(rest, "cd_m")),
    ]  # fmt: skip


def share_below(own: pd.DataFrame, still: pd.DataFrame) -> float | None:
    """Share of all windows of all clips in which a variant's error over all points is below the still mesh's."""
    below: list[bool] = []
    for clip in names_of(own, "clip"):
        for one, other in zip(
            curves_of(select(own, clip=clip), "all"), curves_of(select(still, clip=clip), "all"), strict=True
        ):
            below += [first < second for first, second in zip(one, other, strict=True)]
    return float(np.mean(below)) if below else None


def camera_lines(table: pd.DataFrame) -> list[str]:
    """Median rotation error by family and by motion, and the worst clip."""
    variants = [name for name in names_of(table, "variant") if name in (PAPER, FULL)]
    parts = {f"family {family}": select(table, family=family) for family in names_of(table, "family")}
    parts |= {f"camera {motion}": select(table, motion=motion) for motion in names_of(table, "motion")}
    rows = [
        [name, *(scalar(median_of(select(part, variant=variant), "rotation_deg"), ".1f") for variant in variants)]
        for name, part in parts.items()
    ]
    worst = []
    for variant in variants:
        known = by_clip(select(table, variant=variant), "rotation_deg")
        if not len(known):
            worst.append("-")
            continue
        _, clip, motion = known.index[int(known.to_numpy().argmax())]
        worst.append(f"{known.max():.1f} (clip {clip}, {motion})")
    return markdown(["camera rotation, median over windows [deg]", *variants], [*rows, ["worst window", *worst]])


def reliability(table: pd.DataFrame) -> list[tuple[float, float]]:
    """Mean confidence and share of right tracks of each class of confidence that holds at least 100 points."""
    sums = [np.array(curves_of(table, f"confidence_{name}")) for name in ("count", "sum", "right")]
    if not all(part.size for part in sums):
        return []
    count, total, right = (part.sum(axis=0) for part in sums)
    return [(float(s / n), float(r / n)) for n, s, r in zip(count, total, right, strict=True) if n >= 100]
