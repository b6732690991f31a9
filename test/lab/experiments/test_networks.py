from __future__ import annotations

import numpy as np

from attnchain_ros.lab.experiments import networks
from attnchain_ros.lab.experiments.bench import Bench, Task
from attnchain_ros.lab.table import names_of, succeeded


def test_overlap_by_hand() -> None:
    found, true = np.array([1, 1, 1, 0, 0], bool), np.array([0, 1, 1, 1, 0], bool)
    assert networks.intersection_over_union(found, true) == 0.5
    assert networks.intersection_over_union(~(found | ~found), np.zeros(5, bool)) == 0.0


def test_every_network_is_measured(bench: Bench) -> None:
    table = networks.run(bench, Task("networks", "test", 2))
    assert succeeded(table) == (13, 13)
    # Four frames: the quarter, the half and the last.
    assert names_of(table, "variant") == [
        "VAE, first frame", "image to 3D, 1 steps", "image to 3D, 4 steps", "image to 3D, 30 steps",
        "Stage I, frame 0", "first frame's latent, frame 0", "VAE, frame 0",
        "Stage I, frame 2", "first frame's latent, frame 2", "VAE, frame 2",
        "Stage I, frame 3", "first frame's latent, frame 3", "VAE, frame 3",
    ]  # fmt: skip
    iou = dict(zip(table["variant"], table["value"], strict=True))
    assert all(0 <= value <= 1 for value in iou.values())
    # In the anchor's frame Stage I gives back what it was given.
    assert iou["Stage I, frame 0"] == iou["first frame's latent, frame 0"] == iou["VAE, first frame"]
    lines = networks.describe(bench, table).lines
    assert "| network | clips that succeeded | all | door |" in lines
    assert sum(line.startswith("| VAE, frame 3 | 1 of 1 |") for line in lines) == 1
