"""Two clips in one picture: the one camera sees both where their poses say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from attnchain_ros.camera.poses import apply_pose
from attnchain_ros.cli import main
from attnchain_ros.files.bags import BagSource
from attnchain_ros.lab.demo.beside import Together, beside
from attnchain_ros.lab.demo.clip import demo_clip
from attnchain_ros.lab.synthetic import Clip
from attnchain_ros.stream.frame import Frame, IdImage
from attnchain_ros.stream.objects import ALL_OBJECTS


@pytest.fixture(scope="module")
def made() -> tuple[tuple[Clip, Clip], Together]:
    clips = demo_clip(0, 4), demo_clip(1, 4)
    return clips, beside(clips)


def test_vertices_fall_into_their_objects_mask_at_their_depth(made: tuple[tuple[Clip, Clip], Together]) -> None:
    clips, seen = made
    for number, clip in enumerate(clips, 1):
        for frame in (0, 3):
            points = apply_pose(seen.camera_from_object[number - 1][frame], clip.vertices[frame].astype(np.float64))
            pixels = points @ seen.intrinsics.T
            x, y = np.rint(pixels[:, :2] / pixels[:, 2:]).astype(int).T
            assert x.min() >= 0 and y.min() >= 0 and x.max() < seen.ids.shape[2] and y.max() < seen.ids.shape[1]
            # The mesh's vertices stand a pixel outside the drawn edge here and there.
            assert (seen.ids[frame, y, x] == number).mean() > 0.9
            depth = seen.depth[frame, y, x]
            behind = points[:, 2] - depth
            assert np.quantile(behind[depth > 0], 0.02) > -0.05, "nothing of the mesh stands in front of what is seen"
            assert (np.abs(behind[depth > 0]) < 0.02).mean() > 0.3, "and what is seen is of it"


def test_each_is_whole_in_its_own_half(made: tuple[tuple[Clip, Clip], Together]) -> None:
    _, seen = made
    middle = seen.ids.shape[2] // 2
    assert set(np.unique(seen.ids[:, :, :middle])) == {0, 1} and set(np.unique(seen.ids[:, :, middle:])) == {0, 2}
    assert not seen.ids[:, [0, -1]].any() and not seen.ids[:, :, [0, middle - 1, middle, -1]].any()


def test_the_bag_holds_the_ids(tmp_path: Path) -> None:
    assert main(["demo", "--bag", str(tmp_path / "bag"), "--objects", "2", "--frames", "3"]) == 0
    events = list(BagSource(tmp_path / "bag", mask_instance=ALL_OBJECTS).events())
    ids = [event for event in events if isinstance(event, IdImage)]
    frames = [event for event in events if isinstance(event, Frame)]
    assert [event.stamp_ns for event in ids] == [event.stamp_ns for event in frames] and len(ids) == 3
    seen = beside((demo_clip(0, 3), demo_clip(1, 3)))
    for number in range(3):
        np.testing.assert_array_equal(ids[number].ids, seen.ids[number])
        np.testing.assert_array_equal(frames[number].image, seen.images[number])
