"""The curves of a training as one picture."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

from ...errors import WeightsError
from ...files.atomic import write_bytes
from .loop import LOG_FILE

_SHOWN = {
    "vae": (("occupancy",), ("held_out/iou",)),
    "image-encoder": (("part", "place"), ("held_out/part_accuracy", "held_out/mask_accuracy")),
    "image-to-3d": (("conditioned",), ("held_out/iou", "held_out/another")),
    "temporal": (("conditioned",), ("held_out/iou_4", "held_out/iou_8", "held_out/iou_15", "held_out/still_15")),
}


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Lines of a stage's log; a step that was logged twice (resumed training) counts once, the later one."""
    path = folder / LOG_FILE
    if not path.is_file():
        return []
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
        held = {line["step"]: line for line in lines if any(name.startswith("held_out") for name in line)}
        plain = {line["step"]: line for line in lines if "loss" in line}
        return sorted([*plain.values(), *held.values()], key=lambda line: int(line["step"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{path} is damaged: {error}") from error


def plot_curves(work: Path, path: Path) -> None:
    """Draw training losses (left) and held-out figures (right) of every stage that has a log.

    Args:
        work: working folder of the training.
        path: picture file to write.
    """
    from matplotlib.figure import Figure

    stages = [stage for stage in _SHOWN if (work / stage / LOG_FILE).is_file()]
    if not stages:
        raise WeightsError(f"{work} has no training logs: run a stage first")
    figure = Figure(figsize=(10, 2.6 * len(stages)), layout="constrained")
    axes = figure.subplots(len(stages), 2, squeeze=False)
    for row, stage in enumerate(stages):
        lines = read_log(work / stage)
        for column, names in enumerate(_SHOWN[stage]):
            axis = axes[row][column]
            for name in names:
                points = [(line["step"], line[name]) for line in lines if name in line]
                if points:
                    axis.plot(*zip(*points, strict=True), label=name.removeprefix("held_out/"), linewidth=1)
            axis.set_title(f"{stage}: {'held out' if column else 'training'}", fontsize=9)
            axis.set_xlabel("step", fontsize=8)
            axis.tick_params(labelsize=7)
            axis.grid(alpha=0.3)
            if axis.lines:
                axis.legend(fontsize=7)
            if column:
                axis.set_ylim(0, 1)
    picture = BytesIO()
    figure.savefig(picture, format="png", dpi=90)
    write_bytes(path, picture.getvalue())
