"""A clip from the command line through real DDS, into a client and into the real node with the real rollout."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from node.hand_made import FACES, VERTICES
from node.ros_harness import BEST_EFFORT, LATCHED, RELIABLE, Client, environment
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from attnchain_ros.files.meshes import write_mesh
from attnchain_ros.mesh.types import Mesh
from attnchain_ros.msg import AnimatedMesh, Tracks
from attnchain_ros.stream.decode import decode_message

pytestmark = pytest.mark.ros

SIZE = (48, 64)
FRAMES = 11


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator:
    running: list[subprocess.Popen] = []

    def begin(*arguments: str) -> subprocess.Popen:
        with (tmp_path / f"process{len(running)}.log").open("wb") as log:
            command = [sys.executable, *arguments]
            running.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment()))
        return running[-1]

    yield begin
    for process in running:
        if process.poll() is None:
            process.kill()
            process.wait(10)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A red square that moves over grey, with alpha as its mask."""
    folder = tmp_path / "clip"
    folder.mkdir()
    for number in range(FRAMES):
        picture = np.full((*SIZE, 4), (90, 90, 90, 0), np.uint8)
        picture[14:34, 10 + number : 34 + number] = (40, 40, 200, 255)
        cv2.imwrite(str(folder / f"{number:03d}.png"), picture)
    return folder


def nanoseconds(stamp) -> int:
    return stamp.sec * 10**9 + stamp.nanosec


@pytest.mark.parametrize("qos", ["reliable", "best_effort"])
def test_frames_come_with_mask_and_calibration(client: Client, spawn, clip: Path, qos: str):
    profile = RELIABLE if qos == "reliable" else BEST_EFFORT
    images = client.listen("/robot/image", Image, profile)
    masks = client.listen("/robot/mask", Image, profile)
    infos = client.listen("/robot/camera_info", CameraInfo, profile)
    process = spawn(
        "-m", "attnchain_ros.cli", "fake-camera", str(clip), "--rate", "20", "--qos", qos,
        "--namespace", "robot", "--frame-id", "lens", "--intrinsics", "60,61,31.5,23.5",
    )  # fmt: skip
    client.wait_until(lambda: process.poll() is not None, "the clip ends")
    assert process.returncode == 0
    if qos == "reliable":
        assert len(images) == len(masks) == len(infos) == FRAMES
    assert len(images) >= FRAMES - 2
    stamps = np.array([nanoseconds(message.header.stamp) for message in images])
    assert set(np.diff(stamps)) == {50_000_000}
    by_stamp = {nanoseconds(message.header.stamp): message for message in masks}
    for message in images:
        decoded = decode_message(message)
        mask = by_stamp[nanoseconds(message.header.stamp)]
        assert mask.encoding == "mono8" and message.header.frame_id == "lens"
        np.testing.assert_array_equal(np.array(mask.data).reshape(SIZE) == 255, decoded.rgb[..., 0] == 200)
    assert infos[0].k.tolist() == [60, 0, 31.5, 0, 61, 23.5, 0, 0, 1] and infos[0].width == SIZE[1]


def test_the_real_node_publishes_every_window_of_a_clip(
    client: Client, spawn, clip: Path, tmp_path: Path, tiny_folder: Path
):
    anchor = tmp_path / "anchor.ply"
    write_mesh(anchor, Mesh(VERTICES, FACES, None))
    mesh = client.listen("attnchain_node/mesh", AnimatedMesh)
    windows = client.listen("attnchain_node/tracks_window", Tracks)
    clouds = client.listen("attnchain_node/tracks", PointCloud2)
    status = client.listen("attnchain_node/status", DiagnosticStatus, LATCHED)
    options = {
        "weights": tiny_folder, "anchor_mesh": anchor, "overflow_policy": "block", "queue_size": 16, "device": "cpu",
        "sampling.steps": 1, "surface.grid": 16, "surface.coarse_grid": 8, "surface.n_surface": 64,
        "encode_points": 256, "animation.landmarks": 6, "animation.k_nn": 4, "tracks.max_queries": 8,
    }  # fmt: skip
    arguments = [word for name, value in options.items() for word in ("-p", f"{name}:={value}")]
    node = spawn("-m", "attnchain_ros.node.main", "--ros-args", *arguments)

    def states() -> bool:
        assert node.poll() is None, (tmp_path / "process0.log").read_text()
        return bool(status) and any(item.key == "state" and item.value == "active" for item in status[-1].values)

    client.wait_until(states, "the node is active", 120.0)
    camera = spawn("-m", "attnchain_ros.cli", "fake-camera", str(clip), "--rate", "20", "--qos", "reliable")
    # 11 frames in windows of 4 that share one: 0-3, 3-6, 6-9, and 9-10 when the stream has ended

    def all_came() -> bool:
        figures = {item.key: item.value for item in status[-1].values}
        assert figures["windows failed"] == "0", figures["last error"]
        return len(mesh) == 4 and len(windows) == 4 and len(clouds) == FRAMES

    client.wait_until(all_came, "four windows", 120.0)
    assert camera.wait(120) == 0
    assert [message.frame_count for message in mesh] == [4, 4, 4, 2]
    assert len({message.topology_id for message in mesh}) == 1
    assert all(list(message.ids) == list(windows[0].ids) for message in windows)
    for message in mesh:
        assert np.isfinite(np.array(message.vertices)).all()
    node.terminate()
    assert node.wait(30) == 0
