"""Reports as a table for the terminal, as Markdown with a chart, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from ...files.atomic import write_bytes
from .devices import DEVICES
from .load import LoadTimes
from .run import FRAMES_PER_SECOND, Report
from .stages import Measured
from .startup import Startup

CHART = "performance.png"
FRAMES = 16


def table(report: Report) -> list[str]:
    """Lines for the terminal."""
    head = f"{report.size} on {report.device}, {report.dtype}"
    lines = [head + ("" if report.timed else ": counted, not computed (too large for a CPU)")]
    lines.append(f"  {'stage':26} {'seconds':>10} {'TFLOP':>9} {'GB moved':>9} {'launches':>9} {'GB at most':>10}")
    lines += [_line(one) for one in (*report.stages, *report.host)]
    lines.append(f"  weights {_gb(report.weights)} GB, of which Stage 0 {_gb(report.stage_zero)}")
    for name, ratio in report.ratios.items():
        lines.append(f"  {name}: the literal way takes {ratio:.1f} times as long")
    for name, (seconds, why) in report.variants.items():
        lines.append(f"  one pass of Stage I, {name}: {f'{seconds:.3f} s' if seconds == seconds else why}")
    if report.startup is not None:
        lines.append(f"  {_start(report.startup)}")
    if report.load is not None:
        lines.append(f"  {_load(report.load)}")
    for name, seconds in report.paper_seconds().items() if report.size == "published" else ():
        lines.append(f"  from window to window on {name}, by the count: {seconds:.1f} s")
    for one in report.verdicts():
        verdict = "pass" if one.kept else "FAIL"
        lines.append(f"  {verdict}  {one.name}: {one.figure:.3g} {one.unit} (budget {one.budget:g})")
    return lines


def _line(one: Measured) -> str:
    name = one.name if one.per_window else f"({one.name})"
    seconds = f"{one.seconds:.4f}" if one.seconds == one.seconds else "-"
    if one.cost is None:
        return f"  {name:26} {seconds:>10} {'-':>9} {'-':>9} {'-':>9} {'-':>10}  {one.note}"
    peak = one.peak_bytes or one.cost.peak_bytes
    cost = f"{1e-12 * one.cost.flops:9.3f} {1e-9 * one.cost.moved_bytes:9.1f} {one.cost.launches:9d} {_gb(peak):>10}"
    return f"  {name:26} {seconds:>10} {cost}  {one.note}"


def _start(one: Startup) -> str:
    return (
        f"a process's start takes {one.total:.1f} s of the processor to its first window: torch {one.torch:.1f}, "
        f"modules {one.modules:.1f}, weights {one.weights:.1f}, the window with its first mesh {one.window:.1f}"
    )


def _load(one: LoadTimes) -> str:
    return (
        f"a window takes {one.quiet:.2f} s, beside a camera {one.camera:.2f} s, and beside one busy process a core as "
        f"well {one.work:.2f} s"
    )


def _gb(count: float) -> str:
    return f"{1e-9 * count:.2f}"


def markdown(reports: Sequence[Report], chart: str = CHART) -> str:
    """docs/performance.md."""
    lines = [
        "# What a window costs",
        "",
        "Made by `attnchain bench --sizes published --markdown docs/performance.md`: do not edit. "
        "A window has 16 frames; all networks have random weights. Operations, bytes and launches are counted by "
        "running the code itself on tensors without data; a launch is a kernel that torch starts. Stages in brackets "
        "do not belong to every window. Seconds on a CPU are those of the clock or, where other work made "
        "these longer, of the processor.",
    ]
    for report in reports:
        lines += ["", f"## {report.size} ({report.dtype}, {report.device})", ""]
        if not report.timed:
            lines += ["Counted only: a CPU does not compute networks of this size. Host stages were timed here.", ""]
        lines += [
            "| stage | s | TFLOP half | TFLOP float32 | GB moved | launches | GB at most |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [_row(one) for one in (*report.stages, *report.host)]
        lines += [
            "",
            f"Weights: {_gb(report.weights)} GB, of which Stage 0, which only an anchor needs, "
            f"{_gb(report.stage_zero)} GB. Candidate surfaces evaluate {100 * report.evaluated:.1f} % of their grid.",
        ]
        if report.ratios:
            ratios = ", ".join(f"{name} {ratio:.0f} times" for name, ratio in report.ratios.items())
            lines += ["", f"The literal twins (and a denoiser with attention written out) take longer: {ratios}."]
        if report.startup is not None:
            lines += ["", f"With the package's small checkpoint on this CPU {_start(report.startup)}."]
        if report.load is not None:
            lines += ["", f"{_load(report.load).capitalize()}."]
        if report.variants:
            lines += ["", "| one pass of Stage I | s |", "|---|---|"]
            lines += [
                f"| {name} | {f'{seconds:.3f}' if seconds == seconds else why} |"
                for name, (seconds, why) in report.variants.items()
            ]
    published = [one for one in reports if one.size == "published" and one.paper_seconds()]
    if published:
        lines += ["", *_buying(published[0], chart)]
    lines += ["", "## Budgets", "", "| budget | at most | is | |", "|---|---|---|---|"]
    for report in reports:
        lines += [
            f"| {one.name} ({report.device if 'count' not in one.name else 'counted'}) | {one.budget:g} {one.unit} "
            f"| {one.figure:.3g} {one.unit} | {'kept' if one.kept else '**not kept**'} |"
            for one in report.verdicts()
        ]
    return "\n".join(lines) + "\n"


def _row(one: Measured) -> str:
    name = one.name if one.per_window else f"({one.name})"
    seconds = f"{one.seconds:.3f}" if one.seconds == one.seconds else ""
    if one.cost is None:
        return f"| {name}{': ' + one.note if one.note else ''} | {seconds} | | | | | |"
    peak = one.peak_bytes or one.cost.peak_bytes
    return (
        f"| {name} | {seconds} | {1e-12 * one.cost.half_flops:.3g} | {1e-12 * one.cost.full_flops:.3g} "
        f"| {1e-9 * one.cost.moved_bytes:.3g} | {one.cost.launches} | {_gb(peak)} |"
    )


def _buying(report: Report, chart: str) -> list[str]:
    """Which card does what with the published weights."""
    need = 1e-9 * report.peak_bytes()
    less = 1e-9 * report.peak_bytes(stage_zero=False)
    lines = [
        "## What to buy, and which stride to set (published weights)",
        "",
        "By the count: a stage takes as long as the slowest of its arithmetic (60 % of the data sheet's peak), its "
        "memory traffic (70 %, half of it cached) and its launches; the host's part is what it took here. Cameras and "
        f"tracks ({report.host_seconds(beside=True):.2f} s here) are made beside the next window (`host_thread`): they "
        "add to the time until a window's result, not to the time from one window to the next. Nothing of "
        f"this was measured on these cards. The networks need {need:.1f} GB, {less:.1f} GB where Stage 0 leaves the "
        f"device after the anchor. At 30 images a second `stride` spreads a window's {FRAMES} frames so that windows "
        "follow one another without a gap; `overflow_policy: adaptive` finds it by itself.",
        "",
        "| card | GB | fits | s from window to window | s to its result | stride at 30 Hz |",
        "|---|---|---|---|---|---|",
    ]
    for device in DEVICES:
        seconds = report.paper_seconds()[device.name]
        fits = "yes" if device.memory > need + 1 else "without Stage 0" if device.memory > less + 1 else "no"
        stride = max(1, math.ceil(seconds * FRAMES_PER_SECOND / (FRAMES - 1)))
        result = seconds + report.host_seconds(beside=True)
        lines.append(f"| {device.name} | {device.memory:g} | {fits} | {seconds:.1f} | {result:.1f} | {stride} |")
    return [*lines, "", f"![Seconds of a window by stage and card]({chart})"]


def draw(report: Report) -> bytes:
    """Seconds of a window by stage on every device, by the count, as PNG bytes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axis = figure.subplots()
    names = [one.name for one in DEVICES]
    left = [0.0] * len(DEVICES)
    for stage in report.stages:
        if stage.per_window and stage.cost is not None:
            seconds = [one.seconds(stage.cost) for one in DEVICES]
            axis.barh(names, seconds, left=left, label=stage.name)
            left = [a + b for a, b in zip(left, seconds, strict=True)]
    axis.barh(names, [report.host_seconds(beside=False)] * len(DEVICES), left=left, label="host", color="0.6")
    axis.invert_yaxis()
    axis.set_xscale("symlog", linthresh=10)
    axis.set_xlabel("seconds a window of 16 frames, by the count")
    axis.grid(alpha=0.3, axis="x")
    axis.legend(fontsize=7)
    data = BytesIO()
    # Without the version of matplotlib in it, the same figures give the same file.
    figure.savefig(data, format="png", dpi=110, metadata={"Software": None})
    return data.getvalue()


def write(reports: Sequence[Report], folder: Path | None, document: Path | None) -> list[Path]:
    """Write ``bench.json``, the chart and the document; returns what was written."""
    import json

    written: list[Path] = []
    published = [one for one in reports if one.size == "published" and one.paper_seconds()]
    chart = draw((published or list(reports))[0])
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        whole: list[Any] = [one.as_json() for one in reports]
        write_bytes(folder / "bench.json", (json.dumps(whole, indent=1) + "\n").encode())
        write_bytes(folder / CHART, chart)
        write_bytes(folder / "performance.md", markdown(reports).encode())
        written += [folder / "bench.json", folder / CHART, folder / "performance.md"]
    if document is not None:
        write_bytes(document, markdown(reports).encode())
        write_bytes(document.with_name(CHART), chart)
        written += [document, document.with_name(CHART)]
    return written
