"""``replay``: a bag with breaks becomes one folder for each chain and one bag that other tools read."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from attnchain_ros.cli import main
from attnchain_ros.files.bag_types import bag_types

START = 100 * 10**9
STEP = 50_000_000
FRAMES = 4


def record(path: Path, clip_folder: Path, starts: list[int]) -> Path:
    """Four images of the clip from each of ``starts`` on, in one compressed bag; the camera's name tells the pass."""
    store = bag_types()
    types = store.types
    writer = Writer(path, version=9, storage_plugin=StoragePlugin.SQLITE3)
    writer.set_compression(CompressionMode.MESSAGE, CompressionFormat.ZSTD)
    files = sorted(clip_folder.iterdir())[:FRAMES]
    with writer:
        connection = writer.add_connection("/cam/image", "sensor_msgs/msg/Image", typestore=store)
        for turn, start in enumerate(starts):
            for number, file in enumerate(files):
                image = cv2.cvtColor(cv2.imread(str(file), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA)
                stamp = start + number * STEP
                time = types["builtin_interfaces/msg/Time"](sec=stamp // 10**9, nanosec=stamp % 10**9)
                message = types["sensor_msgs/msg/Image"](
                    header=types["std_msgs/msg/Header"](stamp=time, frame_id=f"cam{turn}"), height=40, width=48,
                    encoding="rgba8", is_bigendian=0, step=192, data=image.ravel(),
                )  # fmt: skip
                recorded = START + (turn * len(files) + number) * STEP
                writer.write(connection, recorded, bytes(store.serialize_cdr(message, "sensor_msgs/msg/Image")))
    return path


def messages_of(bag: Path) -> dict[str, list[tuple[int, bytes]]]:
    """Topic -> times and bytes, with nothing but Python's own SQLite."""
    with sqlite3.connect(next(bag.glob("*.db3"))) as base:
        rows = base.execute(
            "SELECT topics.name, timestamp, data FROM messages JOIN topics ON topics.id = topic_id ORDER BY messages.id"
        ).fetchall()
    found: dict[str, list[tuple[int, bytes]]] = {}
    for topic, time, data in rows:
        found.setdefault(topic, []).append((time, data))
    return found


@pytest.fixture(scope="module")
def replayed(
    tmp_path_factory: pytest.TempPathFactory, clip_folder: Path, tiny_folder: Path, anchor_file: Path, quick: list[str]
) -> Path:
    """The results of a bag whose clip is looped once."""
    place = tmp_path_factory.mktemp("replay")
    bag = record(place / "bag", clip_folder, [START, START])
    words = ["--weights", str(tiny_folder), "--anchor", str(anchor_file), "--device", "cpu", *quick]
    assert main(["replay", str(bag), "--out", str(place / "out"), "--storage", "sqlite3", *words]) == 0
    return place / "out"


def test_every_chain_has_a_folder_and_the_bag_holds_all(replayed: Path) -> None:
    for folder in (replayed, replayed / "chain_2"):
        summary = json.loads((folder / "summary.json").read_text())
        assert summary["frames"] == FRAMES and summary["windows"] == 1
        assert (folder / "animation.glb").stat().st_size > 0
    notes = json.loads((replayed / "summary.json").read_text())["notes"]
    assert f"a new chain starts at stamp {START * 1e-9:.3f} s (stamp_back)" in notes
    found = messages_of(replayed / "results_bag")
    stamps = [START + number * STEP for number in range(FRAMES)]
    assert [time for time, _ in found["/attnchain/tracks"]] == stamps * 2
    assert [time for time, _ in found["/attnchain/mesh"]] == [stamps[-1]] * 2


@pytest.mark.ros
@pytest.mark.filterwarnings("ignore:module 'sre_:DeprecationWarning")  # the wheels' lark, see test/node/conftest.py
def test_ros_itself_reads_the_results(replayed: Path) -> None:
    from rclpy.serialization import deserialize_message
    from sensor_msgs.msg import PointCloud2

    from attnchain_ros.msg import AnimatedMesh, Tracks

    found = messages_of(replayed / "results_bag")
    read: dict[str, Callable[[bytes], Any]] = {
        f"/attnchain/{name}": lambda data, kind=kind: deserialize_message(data, kind)
        for name, kind in (("mesh", AnimatedMesh), ("tracks_window", Tracks), ("tracks", PointCloud2))
    }
    meshes, windows, clouds = ([read[topic](data) for _, data in found[topic]] for topic in read)
    assert [mesh.window_index for mesh in meshes] == [0, 0]
    assert meshes[0].topology_id != meshes[1].topology_id
    assert [window.header.frame_id for window in windows] == ["cam0", "cam1"]
    for mesh in meshes:
        vertices = np.array(mesh.vertices).reshape(mesh.frame_count, mesh.vertex_count, 3)
        assert np.isfinite(vertices).all() and np.array(mesh.triangles).max() < mesh.vertex_count
    assert {cloud.point_step for cloud in clouds} == {28} and clouds[0].width == windows[0].track_count
