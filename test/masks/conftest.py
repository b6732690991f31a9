"""Pictures to follow something in."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    """A bright square that wanders over a dark picture: [30, 60, 80, 3] uint8."""
    found = np.random.default_rng(0).integers(0, 60, (30, 60, 80, 3), dtype=np.uint8)
    for number, image in enumerate(found):
        image[20:40, 10 + number : 30 + number] = (200, 180, 40)
    return found
