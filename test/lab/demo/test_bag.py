"""``attnchain demo --bag``: a small bag whose contents are known, which ``replay`` takes, without ROS or the extra."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import attnchain_ros as ac
from attnchain_ros.camera.poses import apply_pose, invert_pose, pose_from_quaternion
from attnchain_ros.cli import main
from attnchain_ros.errors import FileFormatError
from attnchain_ros.files.bag_types import bag_types
from attnchain_ros.files.bags import open_bag
from attnchain_ros.files.meshes import read_mesh
from attnchain_ros.lab.demo.bag import ANCHOR, FIRST_STAMP_NS, FIXED_FROM_OBJECT, METRES_PER_UNIT, OBJECT_FRAME
from attnchain_ros.lab.demo.clip import demo_clip
from attnchain_ros.stream.config import StreamConfig
from attnchain_ros.stream.windows import clip_frames

FRAMES, RATE = 16, 10.0


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "bag"
    words = ["demo", "--bag", str(folder), "--frames", str(FRAMES), "--rate", str(RATE), "--camera", "sway"]
    assert main(words) == 0
    return folder


def test_stamps_masks_camera_and_depth_are_the_clips(bag: Path) -> None:
    clip = demo_clip(0, FRAMES, "sway")
    read = list(clip_frames(open_bag(bag), StreamConfig()))
    assert len(read) == FRAMES
    for number, (frame, intrinsics) in enumerate(read):
        assert frame.stamp_ns == FIRST_STAMP_NS + number * 10**8
        assert np.array_equal(frame.image, clip.images[number])
        assert intrinsics is not None and np.array_equal(intrinsics, clip.intrinsics)
        assert frame.mask is not None and frame.depth_m is not None
        assert (frame.mask != clip.masks[number]).sum() <= 20, "specks are taken out on the way"
        inside = clip.masks[number]
        assert np.abs(frame.depth_m - METRES_PER_UNIT * clip.depth[number])[inside].max() < 0.6e-3


def test_tf_takes_the_true_surface_to_where_the_depth_image_has_it(bag: Path) -> None:
    """Pixel, depth, K, camera in TF and the object in TF: one chain through everything that the bag says of space."""
    from rosbags.highlevel import AnyReader

    clip = demo_clip(0, FRAMES, "sway")
    with AnyReader([bag], default_typestore=bag_types()) as reader:
        rows = [
            (item.topic, reader.deserialize(raw, item.msgtype).transforms[0])
            for item, _, raw in reader.messages()
            if item.topic.startswith("/tf")
        ]

    def pose(row) -> np.ndarray:
        place, turn = row.transform.translation, row.transform.rotation
        return pose_from_quaternion(np.array([place.x, place.y, place.z]), np.array([turn.x, turn.y, turn.z, turn.w]))

    (still,) = [row for topic, row in rows if topic == "/tf_static"]
    assert still.child_frame_id == OBJECT_FRAME and still.header.frame_id == "odom"
    cameras = [pose(row) for topic, row in rows if topic == "/tf"]
    assert len(cameras) == FRAMES and np.ptp([camera[:3, 3] for camera in cameras], axis=0).max() > 0.01, "it moves"
    for number in (0, FRAMES - 1):
        y, x = (values[::97] for values in np.nonzero(clip.masks[number]))
        rays = np.stack([x, y, np.ones_like(x)]).T @ np.linalg.inv(clip.intrinsics).T
        in_camera = rays * (METRES_PER_UNIT * clip.depth[number][y, x])[:, None]
        in_object = apply_pose(invert_pose(pose(still)) @ cameras[number], in_camera) / METRES_PER_UNIT
        assert np.abs(in_object - clip.xyz[number][y, x]).max() < 1e-4
    # The fixed frame's z is up, as the object's y.
    assert np.allclose(pose(still)[:3, :3] @ [0, 1, 0], [0, 0, 1])


def test_the_mesh_of_the_first_frame_lies_beside_it(bag: Path) -> None:
    clip = demo_clip(0, FRAMES, "sway")
    mesh = read_mesh(bag / ANCHOR)
    assert np.array_equal(mesh.vertices, clip.vertices[0]) and np.array_equal(mesh.faces, clip.faces)


def test_it_is_small_and_the_same_every_time(bag: Path, tmp_path: Path) -> None:
    words = ["demo", "--frames", str(FRAMES), "--rate", str(RATE), "--camera", "sway", "--bag", str(tmp_path / "bag")]
    assert main(words) == 0
    assert sorted(path.name for path in bag.iterdir()) == [ANCHOR, "bag.mcap", "metadata.yaml"]
    for path in bag.iterdir():
        assert path.read_bytes() == (tmp_path / "bag" / path.name).read_bytes()
    whole = tmp_path / "whole"
    assert main(["demo", "--bag", str(whole)]) == 0
    assert sum(path.stat().st_size for path in whole.iterdir()) < 5_000_000


def test_in_the_fixed_frame_the_object_stands_where_it_stands(bag: Path) -> None:
    """With the package's own networks: the camera sways, the object's frame does not move, by depth all is metres."""
    options = {"sampling.steps": 4, "camera.motion": "known", "animation.landmarks": 128, "surface.n_surface": 1024}
    animation = ac.animate(bag, anchor=bag / ANCHOR, fixed_frame="odom", options=options)
    poses = animation.fixed_from_object
    assert poses.shape == (FRAMES, 4, 4) and np.isfinite(poses).all()
    assert animation.windows[0].metric
    turned = Rotation.from_matrix(FIXED_FROM_OBJECT[:3, :3].T @ poses[:, :3, :3]).magnitude()
    assert np.degrees(turned).max() < 5.0
    assert np.linalg.norm(poses[:, :3, 3] - FIXED_FROM_OBJECT[:3, 3], axis=1).max() < 0.05
    seen = animation.camera_from_object
    assert np.linalg.norm(np.ptp(seen[:, :3, 3], axis=0)) > 0.05, "the camera has moved"
    with pytest.raises(
        FileFormatError, match="no TF frame 'map' to be the fixed one; it has camera_optical_frame, odom"
    ):
        ac.animate(bag, fixed_frame="map")


def test_replay_takes_it(bag: Path, tiny_folder: Path, quick: list[str], tmp_path: Path) -> None:
    words = ["--weights", str(tiny_folder), "--device", "cpu", "--anchor", str(bag / ANCHOR), *quick]
    assert main(["replay", str(bag), "--out", str(tmp_path / "out"), "--max-windows", "1", *words]) == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["intrinsics_given"] is True and summary["frames"] > 1


@pytest.mark.parametrize(
    ("words", "told"),
    [(["--camera", "orbit"], "--camera orbit is for --bag"), (["--bag", "{there}"], "exists already"),
     (["--bag", "{new}", "--rate", "0"], "--rate is 0")],
)  # fmt: skip
def test_arguments(words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "there").mkdir()
    words = [word.format(there=tmp_path / "there", new=tmp_path / "new") for word in words]
    assert main(["demo", *words]) == 2
    assert told in capsys.readouterr().err and not (tmp_path / "new").exists()
