"""Pictures of the laboratory's reports, as PNG bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np


def mean_curve(curves: Sequence[Sequence[float]]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error at each place of curves of different lengths, over those that reach it.

    >>> mean_curve([[1.0, 2.0], [3.0]])[0].tolist()
    [2.0, 2.0]
    """
    length = max(len(curve) for curve in curves)
    table = np.full((len(curves), length), np.nan)
    for row, curve in zip(table, curves, strict=True):
        row[: len(curve)] = curve
    counts = np.isfinite(table).sum(axis=0)
    mean = np.nansum(table, axis=0) / counts
    square = np.nansum((table - mean) ** 2, axis=0) / np.maximum(counts - 1, 1)
    return mean, np.sqrt(square / counts)


def draw_curves(curves: Mapping[str, Sequence[Sequence[float]]], against: str, label: str, places: Any = None) -> bytes:
    """A line for each name: the mean over clips, with its standard error as a band.

    Args:
        curves: by name, one curve for each clip.
        against, label: of the axes.
        places: what stands on the horizontal axis, ascending; None = 0, 1, 2, ...
    """
    figure, axis = _figure()
    for name, own in curves.items():
        if not own:
            continue
        mean, error = mean_curve(own)
        where = np.arange(len(mean)) if places is None else np.asarray(places)[: len(mean)]
        axis.plot(where, mean, label=f"{name} ({len(own)})", linewidth=1.3, marker="o", markersize=3)
        axis.fill_between(where, mean - error, mean + error, alpha=0.15)
    axis.set_xlabel(against)
    axis.set_ylabel(label)
    return _png(figure, axis)


def draw_settings(panels: Mapping[str, Mapping[str, np.ndarray]], label: str, default: Mapping[str, str]) -> bytes:
    """A panel for each group of settings: mean and standard error of each; the default is marked.

    Args:
        panels: by group, by setting, [n] one value for each clip.
        label: of the vertical axis.
        default: by group, the setting of this run.
    """
    figure, axes = _figure(len(panels))
    for axis, (group, settings) in zip(np.atleast_1d(axes), panels.items(), strict=True):
        for place, (setting, values) in enumerate(settings.items()):
            if len(values):
                error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
                colour = "tab:orange" if setting == default.get(group) else "tab:blue"
                axis.errorbar(place, np.mean(values), error, fmt="o", color=colour, capsize=2)
        axis.set_xticks(range(len(settings)), list(settings), rotation=60, fontsize=7, ha="right")
        axis.set_title(group, fontsize=9)
    np.atleast_1d(axes)[0].set_ylabel(label)
    return _png(figure)


def draw_points(groups: Mapping[str, Sequence[tuple[float, float]]], across: str, up: str) -> bytes:
    """A dot for each setting, a colour for each group."""
    figure, axis = _figure()
    for name, pairs in groups.items():
        if pairs:
            x, y = np.array(pairs).T
            axis.scatter(x, y, s=18, label=name)
    axis.set_xlabel(across)
    axis.set_ylabel(up)
    return _png(figure, axis)


def _figure(panels: int = 1) -> tuple[Any, Any]:
    """A figure and its axes. matplotlib is imported here: it takes a second, and workers never draw."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6 if panels == 1 else 2.6 * panels, 3.6), layout="constrained")
    axes = figure.subplots(1, panels, sharey=panels > 1)
    for axis in np.atleast_1d(axes):
        axis.grid(alpha=0.3)
    return figure, axes


def _png(figure: Any, legend: Any = None) -> bytes:
    """The figure as a file; ``legend``: the axis that gets one, if anything was drawn there."""
    if legend is not None and legend.get_legend_handles_labels()[0]:
        legend.legend(fontsize=7)
    data = BytesIO()
    # Without the version of matplotlib in it, the same figures give the same file.
    figure.savefig(data, format="png", dpi=110, metadata={"Software": None})
    return data.getvalue()
