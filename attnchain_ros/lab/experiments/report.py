"""One Markdown report of all experiments, with its pictures in a folder beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...files.atomic import write_bytes
from ..evaluation.report import head
from .bench import Bench
from .charts import PLACE
from .rows import Row
from .running import EXPERIMENTS
from .targets import target_lines

_READING = (
    "Lengths are units of the object frame, in which the whole motion of a clip fits a sphere of radius 1; distances "
    "are not squared and both directions of a Chamfer distance are summed. A point has moved if it is more than 0.25 "
    'of the object\'s radius away from where it was in the first frame. "All frames" is every frame after the first. '
    "Cells are mean ± standard deviation over clips (number of clips). The baselines mesh that stays still, nearest "
    "surface point and rigid ICP start from the same anchor; the last two are given the true surface of every frame."
)


def write_results(path: Path, bench: Bench, rows: dict[str, Sequence[Row]], identity: dict[str, Any]) -> str:
    """Write the report and return its text.

    Args:
        path: of the Markdown file; its pictures go to a folder of the same name without the ending.
        bench: networks and options of the run.
        rows: by experiment.
        identity: what the run was, a line each.
    Raises:
        FileFormatError: it cannot be written.
    """
    path = Path(path)
    folder = path.with_suffix("")
    lines = [*head("The experiments, in small", identity), "", _READING, ""]
    lines += ["## Targets", "", *target_lines(bench, rows), ""]
    for name, own in rows.items():
        section = EXPERIMENTS[name].describe(bench, own)
        for plot, data in section.plots.items():
            write_bytes(folder / f"{plot}.png", data)
        text = "\n".join(section.lines).replace(f"]({PLACE}/", f"]({folder.name}/").rstrip("\n")
        lines += [f"## {section.title}", "", text, ""]
    text = "\n".join(lines)
    write_bytes(path, text.encode())
    return text
