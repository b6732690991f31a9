"""Outcomes as a table for people (Markdown) and for programs (JSON)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...files.atomic import write_bytes
from .plots import plot_curves
from .records import Record, Spread, cell, records_markdown, spread, tabulate
from .scores import MotionScores
from .synthetic import ClipOutcome

_REGIONS = ("last_moved", "last_all", "frames_moved", "frames_all")
_NAMES = {"given": "anchor mesh given", "image": "from one image"}
_SHARES = (
    "Mean ± standard deviation over items (number of items). Distances are not squared and both directions are summed; "
    "shares are from 0 to 1. CD-3D and CD-4D without the alignment are one number by definition."
)


@dataclass(frozen=True)
class RunTable:
    """All clips of one kind of run.

    Attributes:
        anchor: which run.
        clips: how many were tried; succeeded: how many have figures; failures: the others, "clip 7: why".
        figures: spread of every field of ``MotionScores``, None where no clip has it.
        ratios: mean error over that of the run's anchor staying still, by region; over the clips that have both.
        true_ratios: the same against the true mesh staying still.
        seconds: of a window after the first of a run, or of the first where there is only one.
    """

    anchor: str
    clips: int
    succeeded: int
    failures: tuple[str, ...]
    figures: dict[str, Spread | None]
    ratios: dict[str, float | None]
    true_ratios: dict[str, float | None]
    seconds: Spread | None


def make_table(outcomes: Sequence[ClipOutcome]) -> list[RunTable]:
    """One table for every anchor, in the order of their first outcome."""
    tables = []
    for anchor in dict.fromkeys(outcome.anchor for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome.anchor == anchor]
        scores = [outcome.scores for outcome in own if outcome.scores is not None]
        names = [item.name for item in dataclasses.fields(MotionScores)]
        tables.append(
            RunTable(
                anchor=anchor,
                clips=len(own),
                succeeded=len(scores),
                failures=tuple(f"clip {outcome.index}: {outcome.failure}" for outcome in own if outcome.failure),
                figures={name: spread([getattr(score, name) for score in scores]) for name in names},
                ratios={region: _ratio(scores, region, "still_") for region in _REGIONS},
                true_ratios={region: _ratio(scores, region, "true_still_") for region in _REGIONS},
                seconds=spread([value for outcome in own for value in (outcome.seconds[1:] or outcome.seconds)]),
            )
        )
    return tables


def _ratio(scores: list[MotionScores], region: str, baseline: str) -> float | None:
    """Mean over mean: each clip weighs by how much moves in it, and a clip that hardly moves cannot blow it up."""
    pairs = [(getattr(score, region), getattr(score, baseline + region)) for score in scores]
    known = [(value, still) for value, still in pairs if value is not None and still is not None]
    below = sum(still for _, still in known)
    return sum(value for value, _ in known) / below if below > 0 else None


def head(title: str, identity: dict[str, Any]) -> list[str]:
    """First lines of a report: its title and what the run was."""
    return [f"# {title}", "", *(f"- {key}: {value}" for key, value in identity.items() if not isinstance(value, dict))]


def _motion_lines(tables: Sequence[RunTable]) -> list[str]:
    """The table of errors of known points."""
    lines = [
        "",
        "Lengths are units of the object frame, in which the whole motion fits a sphere of radius 1. Moved: by more "
        "than 0.25 of the object's radius since the first frame. All frames: every frame after the first. Mean ± "
        "standard deviation over clips (number of clips).",
        "",
        "| | " + " | ".join(_NAMES.get(table.anchor, table.anchor) for table in tables) + " |",
        "|---|" + "---|" * len(tables),
        "| clips that succeeded | " + " | ".join(f"{table.succeeded} of {table.clips}" for table in tables) + " |",
    ]
    labels = {item.name: item.metadata for item in dataclasses.fields(MotionScores)}
    for region in _REGIONS:
        text = labels[region]["label"]
        lines.append(
            f"| **ratio to the anchor that stays still: {text}** | " + _row([t.ratios[region] for t in tables])
        )
        lines.append(
            f"| ratio to the true mesh that stays still: {text} | " + _row([t.true_ratios[region] for t in tables])
        )
    for name, label in labels.items():
        unit = f" [{label['unit']}]" if label["unit"] else ""
        lines.append(f"| {label['label']}{unit} | " + " | ".join(cell(table.figures[name]) for table in tables) + " |")
    lines.append("| seconds per window | " + " | ".join(cell(table.seconds) for table in tables) + " |")
    failures = [f"- {_NAMES.get(table.anchor, table.anchor)}, {text}" for table in tables for text in table.failures]
    lines += ["", "## Failures", "", *(failures or ["None."]), ""]
    return lines


def _row(values: Sequence[float | None]) -> str:
    return " | ".join("-" if value is None else f"**{value:.3f}**" for value in values) + " |"


def write_report(folder: Path, outcomes: Sequence[ClipOutcome], identity: dict[str, Any], name: str = "errors") -> str:
    """Write ``<name>.md`` and ``<name>.json`` into a folder (made when needed) and return the Markdown.

    Curves are drawn beside them, in a folder for each anchor.

    Raises:
        FileFormatError: the folder cannot be written to.
    """
    tables = make_table(outcomes)
    lines = head("Errors against the truth", identity) + _motion_lines(tables)
    methods: dict[str, Any] = {}
    for table in tables:
        records = [record for outcome in outcomes if outcome.anchor == table.anchor for record in outcome.records]
        if records:
            title = f"## Benchmark figures, {_NAMES.get(table.anchor, table.anchor)}"
            lines += [title, "", _SHARES, "", *records_markdown(records)]
            methods[table.anchor] = [dataclasses.asdict(row) for row in tabulate(records)]
            plot_curves(Path(folder) / table.anchor, records)
    data = {
        "identity": identity,
        "tables": [dataclasses.asdict(table) for table in tables],
        "benchmarks": methods,
        "outcomes": [dataclasses.asdict(outcome) for outcome in outcomes],
    }
    return _write(Path(folder), name, lines, data)


def write_records(
    folder: Path, records: Sequence[Record], identity: dict[str, Any], title: str, name: str = "errors"
) -> str:
    """Write the report of a benchmark of records, as ``write_report`` does, and return the Markdown.

    Raises:
        FileFormatError: the folder cannot be written to.
    """
    lines = [*head(title, identity), "", _SHARES, "", *records_markdown(records)]
    plot_curves(Path(folder), records)
    data = {
        "identity": identity,
        "tables": [dataclasses.asdict(table) for table in tabulate(records)],
        "records": [dataclasses.asdict(record) for record in records],
    }
    return _write(Path(folder), name, lines, data)


def _write(folder: Path, name: str, lines: Sequence[str], data: dict[str, Any]) -> str:
    text = "\n".join(lines)
    write_bytes(folder / f"{name}.json", (json.dumps(data, indent=2, allow_nan=False) + "\n").encode())
    write_bytes(folder / f"{name}.md", text.encode())
    return text
