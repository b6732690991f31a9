"""Curves of an evaluation as pictures: error against frame, drift from window to window."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from ...files.atomic import write_bytes
from .records import CURVES, Record


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


def plot_curves(folder: Path, records: Sequence[Record]) -> list[Path]:
    """Draw every kind of curve that the records have into ``<kind>.png``, a line for each method.

    The band is the standard error over items.

    Returns:
        the files written.
    Raises:
        FileFormatError: the folder cannot be written to.
    """
    from matplotlib.figure import Figure

    written = []
    for kind, (against, label) in CURVES.items():
        lines = {
            method: [record.curves[kind] for record in records if record.method == method and record.curves.get(kind)]
            for method in dict.fromkeys(record.method for record in records)
        }
        if not any(len(curve) > 1 for curves in lines.values() for curve in curves):
            continue
        figure = Figure(figsize=(6, 3.6), layout="constrained")
        axis = figure.subplots()
        for method, curves in lines.items():
            if curves:
                mean, error = mean_curve(curves)
                places = np.arange(len(mean))
                axis.plot(places, mean, label=f"{method} ({len(curves)})", linewidth=1.3)
                axis.fill_between(places, mean - error, mean + error, alpha=0.15)
        axis.set_xlabel(against)
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
        picture = BytesIO()
        figure.savefig(picture, format="png", dpi=110)
        path = Path(folder) / f"{kind}.png"
        write_bytes(path, picture.getvalue())
        written.append(path)
    return written
