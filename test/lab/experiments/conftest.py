"""A bench with the tiny random checkpoint: its figures mean nothing, but all of them must be there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from small_bench import COUNTS, SMALL

from attnchain_ros.backbone import load_backbone
from attnchain_ros.lab.experiments.bench import Bench
from attnchain_ros.options import resolve


@pytest.fixture(scope="session")
def bench(tiny_folder: Path) -> Bench:
    """Windows of 4 frames of 48 x 48 pixels."""
    backbone = load_backbone(tiny_folder, "cpu")
    return Bench(backbone, resolve(backbone, SMALL), COUNTS, 48)
