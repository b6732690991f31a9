"""What each piece is worth: every variant is measured, with the options that its name tells."""

from __future__ import annotations

from dataclasses import replace

import pytest

from attnchain_ros.config import flatten
from attnchain_ros.lab.evaluation.methods import DENSE, STILL
from attnchain_ros.lab.experiments import pieces
from attnchain_ros.lab.experiments.bench import Bench, Task
from attnchain_ros.lab.table import names_of, select, succeeded

TASK = Task("pieces", "test", 2)


@pytest.fixture(scope="module")
def little(bench: Bench) -> Bench:
    """Few patches: what takes its time here are the variants."""
    return replace(bench, config=bench.changed({"parts.patches": 8}))


def test_every_variant_changes_what_it_says(bench: Bench) -> None:
    full = flatten(bench.changed({"preset": "full"}))
    for name, changes in pieces.PIECES.items():
        assert all(option in full and full[option][1] != value for option, value in changes.items()), name


def test_a_clip_under_a_camera(little: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = {name: pieces.PIECES[name] for name in ("paper", "no pixels", "no network")}
    monkeypatch.setattr(pieces, "PIECES", chosen)
    table = pieces.given(little, TASK, "orbit")
    assert names_of(table, "variant") == [*chosen, STILL, DENSE]
    for name in chosen:
        assert succeeded(select(table, variant=name)) == (1, 1)
    lines = pieces.describe(little, table).lines
    assert "### Mesh given, camera orbit" in lines and any(line.startswith("| no network |") for line in lines)


def test_a_generated_mesh(little: Bench) -> None:
    table = pieces.from_image(little, TASK)
    assert names_of(table, "variant") == list(pieces.GENERATED)
    assert all(succeeded(select(table, variant=name)) == (1, 1) for name in pieces.GENERATED)
    assert "### Mesh from the first image" in pieces.describe(little, table).lines
