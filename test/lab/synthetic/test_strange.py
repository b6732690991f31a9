"""lab.synthetic.strange: rigid things that rest, each kind in turn, other ones in other splits."""

from __future__ import annotations

import numpy as np
import pytest

from attnchain_ros.lab.synthetic import FAMILIES, ClipConfig
from attnchain_ros.lab.synthetic.strange import FITTED, STRANGE, strange_clip, strange_kind

CONFIG = ClipConfig(frames=3, image_size=32, camera="orbit")


@pytest.mark.parametrize("index", range(len(STRANGE)))
def test_every_kind_can_be_seen_and_rests(index: int) -> None:
    clip = strange_clip("test", index, CONFIG)
    assert strange_kind(index) == list(STRANGE)[index] not in FAMILIES
    assert 0.02 < clip.masks.mean() < 0.7 and not clip.masks[:, 0].any()
    assert (
        np.array_equal(clip.vertices[0], clip.vertices[2]) and np.linalg.norm(clip.vertices[0], axis=1).max() <= 1.001
    )
    again, other = strange_clip("test", index, CONFIG), strange_clip("validation", index, CONFIG)
    assert np.array_equal(again.vertices, clip.vertices)
    assert not np.array_equal(other.camera_from_object, clip.camera_from_object)


def test_some_kind_was_not_fitted_on() -> None:
    assert set(FITTED) < set(STRANGE)
