"""Which of the denoiser's layers and which direction to read, found on held-out clips."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from ...backbone import load_backbone
from ...errors import WeightsError
from ...files.atomic import write_bytes
from ...options import resolve
from ..experiments import reading
from ..experiments.bench import Bench, Task
from ..probe import readings
from ..table import concat, failed, mean_of, names_of, select
from .export import export_checkpoint
from .recipe import Recipe

LOG = logging.getLogger(__name__)

FIGURE = "frames_moved"
"""What is made small: the mean error of points that moved."""

GROUPS = ("layers", "direction")


def run_study(recipe: Recipe, work: Path, clips: int = 20) -> dict[str, float]:
    """Choose layers and direction by the true error on validation clips (the experiment ``reading``).

    They are written to ``<work>/recommended.json`` for the export, each option by itself around the usual ones.

    Returns:
        the mean error of every setting that could be measured; also written to ``<work>/study.json``.
    Raises:
        WeightsError: a stage has not been trained, or the networks do not make surfaces yet.
    """
    folder = work / "study"
    export_checkpoint(recipe, work, folder, {})
    backbone = load_backbone(folder, "cpu", "float32")
    # Patches are for cameras, which take no part here; what is recommended for them may be for larger networks.
    config = resolve(backbone, {"readout.patch_layers": "all"})
    bench = Bench(backbone, config, image_size=recipe.data.image_size)
    tasks = [Task("reading", "validation", clip, baselines=False) for clip in range(clips)]
    rows = concat(reading.run(bench, task) for task in tasks)
    found = {
        (group, name): error
        for group in GROUPS
        for name in names_of(select(rows, group=group), "variant")
        if (error := mean_of(select(rows, group=group, variant=name), FIGURE)) is not None
    }
    options: dict[str, object] = {}
    for group in GROUPS:
        known = {name: error for (table, name), error in found.items() if table == group}
        if not known:
            failures = sorted(failed(select(rows, group=group))["failure"])
            raise WeightsError(f"no setting of {group} could be measured ({failures[0]}): train the networks further")
        best = min(known, key=lambda name: known[name])
        options |= next(dict(way.changes) for way in readings(backbone, bench.config, [group]) if way.name == best)
    table = {f"{group}: {name}": error for (group, name), error in found.items()}
    write_bytes(work / "recommended.json", json.dumps(options, indent=2).encode() + b"\n")
    write_bytes(work / "study.json", json.dumps(table, indent=1).encode() + b"\n")
    for name, error in sorted(table.items(), key=lambda item: item[1]):
        LOG.info("%-40s %.4f", name, error)
    LOG.info("chosen: %s", options)
    return table
