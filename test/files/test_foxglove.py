"""Meshes for Foxglove in a bag of results, read by what the file itself says, and the layout that shows them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from rosbags.highlevel import AnyReader
from scipy.spatial.transform import Rotation

from attnchain_ros.files.bag_writing import ResultBagWriter
from attnchain_ros.files.foxglove import DEFINITIONS, SCENE_TYPE

ROOT = Path(__file__).resolve().parents[2]
LAYOUT = ROOT / "config" / "foxglove_layout.json"
SCALE = 0.5
# A viewer turns glTF's y to its own z before it applies a model's pose.
UP = Rotation.from_euler("x", 90, degrees=True)


def _topics(path: Path, watched: Any, **options: Any) -> dict[str, list[tuple[int, Any]]]:
    with ResultBagWriter(path, **options) as writer:
        for _, result in watched.windows:
            writer.add(result, "cam_optical")
    found: dict[str, list[tuple[int, Any]]] = {}
    # Without a store of types of ours: what the file says about its messages has to be enough.
    with AnyReader([path]) as reader:
        for connection, time, raw in reader.messages():
            message = reader.deserialize(raw, connection.msgtype)
            found.setdefault(connection.topic, []).append((time, message))
            assert connection.topic != "/attnchain/scene" or connection.msgtype == SCENE_TYPE
    return found


def test_each_frame_is_a_mesh_that_moves_with_the_objects_frame(tmp_path: Path, make_scene: Callable[..., Any]) -> None:
    scene = make_scene(scale=SCALE)
    found = _topics(tmp_path / "bag", scene)["/attnchain/scene"]
    frames = [
        (result, frame) for _, result in scene.windows for frame in range(int(result.shared_first), result.frames)
    ]
    assert [time for time, _ in found] == [int(result.stamps_ns[frame]) for result, frame in frames]
    for (time, message), (result, frame) in zip(found, frames, strict=True):
        assert len(message.deletions) == 0
        (entity,) = message.entities
        assert entity.timestamp.sec * 10**9 + entity.timestamp.nanosec == time
        assert (entity.frame_id, entity.id, entity.frame_locked) == ("object_1", "object_1", True)
        assert (entity.lifetime.sec, entity.lifetime.nanosec) == (0, 0), "stays until the next frame takes its place"
        assert {pair.key: pair.value for pair in entity.metadata} == {
            "object_id": "1", "window_index": str(result.index), "frame": str(frame),
        }  # fmt: skip
        (model,) = entity.models
        assert model.media_type == "model/gltf-binary" and not model.override_color
        mesh = trimesh.load(
            trimesh.util.wrap_as_stream(model.data.tobytes()), file_type="glb", force="mesh", process=False
        )
        turn = model.pose.orientation
        shown = (Rotation.from_quat([turn.x, turn.y, turn.z, turn.w]) * UP).apply(mesh.vertices)
        np.testing.assert_allclose(shown, result.vertices[frame] * SCALE, atol=1e-6)
        np.testing.assert_array_equal(mesh.faces, result.faces)


@pytest.mark.parametrize("options", [{"scene": False}, {"storage": "sqlite3"}])
def test_other_bags_have_no_scene(tmp_path: Path, make_scene: Callable[..., Any], options: dict[str, Any]) -> None:
    found = _topics(tmp_path / "bag", make_scene(), **options)
    assert "/attnchain/scene" not in found and "/attnchain/mesh" in found


def test_every_message_of_a_scene_is_described() -> None:
    used = {name for text in DEFINITIONS.values() for name in re.findall(r"foxglove_msgs/(\w+)", text)}
    assert used | {"SceneUpdate"} == set(DEFINITIONS)


def test_the_layout_shows_topics_that_there_are(tmp_path: Path, make_scene: Callable[..., Any]) -> None:
    layout = json.loads(LAYOUT.read_text(encoding="utf-8"))
    panels = set()
    parts = [layout["layout"]]
    while parts:
        part = parts.pop()
        if isinstance(part, str):
            panels.add(part)
        else:
            assert part["direction"] in ("row", "column") and 0 < part["splitPercentage"] < 100
            parts += [part["first"], part["second"]]
    assert panels == set(layout["configById"]), "every panel is configured, and every configured one is shown"
    written = set(_topics(tmp_path / "bag", make_scene()))
    topics = layout["configById"]["3D!attnchain"]["topics"]
    topics |= {path["value"].split(".")[0]: {} for path in layout["configById"]["Plot!attnchain"]["paths"]}
    assert {topic for topic in topics if topic.startswith("/attnchain/")} <= written
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for topic in topics:
        if topic.startswith("/attnchain_node/"):
            assert f"`~/{topic.rpartition('/')[2]}`" in readme, topic
