"""Several objects in one node: told apart on every topic, come and go, asked for by their ids."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import Path as PathMessage
from node.hand_made import HandMadeEngine
from node.ros_harness import DOMAIN, LATCHED_WINDOWS, RELIABLE, Client, ids_message, image_message
from rclpy.context import Context
from rclpy.executors import MultiThreadedExecutor
from rclpy.parameter import Parameter
from sensor_msgs.msg import PointCloud2
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from attnchain_ros.files.meshes import read_mesh
from attnchain_ros.msg import AnimatedMesh, Tracks
from attnchain_ros.node.lifecycle import AttnChainNode
from attnchain_ros.srv import GetMesh, ResetObject, SaveMesh, SetAnchor
from attnchain_ros.stream.accounts import Accounts

pytestmark = pytest.mark.ros

STEP_NS = 50_000_000
BASE = {
    "autostart": False, "frames": 4, "queue_size": 16, "overflow_policy": "block", "watchdog_s": 0.0,
    "max_objects": 2, "max_missing_s": 0.4, "max_gap_s": 0.25, "markers_rate_hz": 1000.0,
}  # fmt: skip
Make = Callable[..., AttnChainNode]


@pytest.fixture
def make() -> Iterator[Make]:
    """Nodes that are active and spin."""
    context = Context()
    context.init(domain_id=DOMAIN)
    executor = MultiThreadedExecutor(num_threads=4, context=context)
    thread = threading.Thread(target=executor.spin, daemon=True)
    nodes: list[AttnChainNode] = []

    def build(seconds: float = 0.0, **parameters: Any) -> AttnChainNode:
        overrides = [Parameter(name, value=value) for name, value in {**BASE, **parameters}.items()]
        node = AttnChainNode(partial(HandMadeEngine, seconds=seconds), context=context, parameter_overrides=overrides)
        nodes.append(node)
        executor.add_node(node)
        node.trigger_configure()
        node.trigger_activate()
        return node

    thread.start()
    yield build
    for node in nodes:
        node.end()
    executor.shutdown()
    thread.join(10)
    for node in nodes:
        node.destroy_node()
    context.try_shutdown()


def feed(node: AttnChainNode, first: int, count: int, *ids: int) -> None:
    session = node.session
    assert session is not None
    for number in range(first, first + count):
        stamp = 10**9 + number * STEP_NS
        session.inputs.mask.callback(ids_message(stamp, *ids))
        session.inputs.image.callback(image_message(stamp))


def windows(node: AttnChainNode) -> dict[int, int]:
    assert node.session is not None
    return {track.object_id: track.windows for track in node.session.tracks}


def balanced(found: Accounts) -> bool:
    return found.received == found.used + sum(found.dropped.values()) + found.in_flight + found.waiting


def test_objects_are_told_apart_on_every_topic(make: Make, client: Client):
    node = make()
    name = "attnchain_node"
    kinds = {
        "mesh": AnimatedMesh, "tracks": PointCloud2, "tracks_window": Tracks, "camera_path": PathMessage,
        "camera_pose": PoseWithCovarianceStamped, "markers": MarkerArray,
        "object_1/object_pose": PoseWithCovarianceStamped, "object_3/object_pose": PoseWithCovarianceStamped,
    }  # fmt: skip
    heard = {topic: client.listen(f"{name}/{topic}", kind, RELIABLE) for topic, kind in kinds.items()}
    transforms = client.listen("/tf", TFMessage, RELIABLE)
    shared = [topic for topic in kinds if "/" not in topic]
    client.wait_until(
        lambda: node.count_subscribers("/tf") and all(node.count_subscribers(f"/{name}/{topic}") for topic in shared),
        "everybody listens",
    )
    feed(node, 0, 4, 1, 3)
    client.wait_until(lambda: all(node.count_publishers(f"/{name}/object_{one}/object_pose") for one in (1, 3)), "own")
    client.wait_until(
        lambda: all(client.node.count_publishers(f"/{name}/object_{one}/object_pose") for one in (1, 3)), "found"
    )
    feed(node, 4, 6, 1, 3)
    client.wait_until(lambda: windows(node) == {1: 3, 3: 3}, "three windows each")
    client.wait_until(lambda: len(heard["mesh"]) == 6 and len(heard["tracks_window"]) == 6, "all windows")
    client.wait_until(lambda: len(heard["tracks"]) == 20, "a cloud for each image and object")
    for topic in ("mesh", "tracks_window"):
        by_id = {one: [item for item in heard[topic] if item.object_id == one] for one in (1, 3)}
        assert [[item.window_index for item in found] for found in by_id.values()] == [[0, 1, 2]] * 2
    assert {item.header.frame_id for item in heard["mesh"]} == {"object_1", "object_3"}
    assert {item.object_frame_id for item in heard["tracks_window"]} == {"object_1", "object_3"}
    cloud = heard["tracks"][0]
    assert [(field.name, field.offset) for field in cloud.fields][-1] == ("object_id", 28) and cloud.point_step == 32
    owners = {int(np.frombuffer(bytes(item.data), np.int32).reshape(-1, 8)[0, 7]) for item in heard["tracks"]}
    assert owners == {1, 3}
    client.wait_until(lambda: all(heard[topic] for topic in ("camera_path", "camera_pose", "markers")), "the others")
    client.wait_until(
        lambda: {item.header.frame_id for item in heard["camera_pose"]} == {"object_1", "object_3"}, "poses"
    )
    client.wait_until(lambda: {item.markers[0].id for item in heard["markers"]} == {1, 3}, "markers")
    client.wait_until(
        lambda: {one.child_frame_id for item in transforms for one in item.transforms} == {"object_1", "object_3"}, "TF"
    )


def test_objects_come_and_go_and_every_frame_is_accounted_for(make: Make, client: Client):
    node = make()
    session = node.session
    assert session is not None
    status = client.listen("/diagnostics", DiagnosticArray, RELIABLE)
    feed(node, 0, 7, 1, 3)
    client.wait_until(lambda: windows(node) == {1: 2, 3: 2}, "two windows each")
    first_topology = session.choose(3).latest.topology_id
    feed(node, 7, 9, 1)  # 0.45 s without object 3
    client.wait_until(lambda: windows(node) == {1: 5}, "object 3 is gone")
    client.wait_until(lambda: len(session._tracks) == 1, "nothing of it is left")
    assert not node.count_publishers("/attnchain_node/object_3/object_pose")
    assert not [thread for thread in threading.enumerate() if thread.name == "attnchain-live"][1:], "nor its live lane"
    feed(node, 16, 4, 1, 3, 4)
    client.wait_until(lambda: windows(node).get(3) == 1, "object 3 again")
    assert session.choose(3).latest.topology_id > first_topology and session.choose(3).latest.index == 0
    assert session.streams.counts() == {"admitted": 3, "retired": 1, "turned_away": 4}
    client.wait_until(lambda: not session.streams.accounts().in_flight, "all is computed")
    found = session.streams.accounts()
    assert balanced(found) and all(balanced(track.figures().accounts) for track in session.tracks)
    # 20 images of object 1; of object 3 seven and four, and the eight in which it was missed before it was retired.
    assert found.received == 20 + 7 + 8 + 4 and found.dropped == {"mask_empty": 8}
    status.clear()
    client.wait_until(lambda: len(status) > 1, "diagnostics")
    names = [item.name for item in status[-1].status]
    assert names == ["attnchain_node", "attnchain_node: object 1", "attnchain_node: object 3"]
    values = {item.key: item.value for item in status[-1].status[0].values}
    assert values["objects"] == "1, 3" and values["objects: retired"] == "1"
    assert "objects followed: 1, 3" in status[-1].status[0].message


def test_the_window_under_way_of_an_object_that_is_retired_is_cancelled_and_counted(make: Make, client: Client):
    node = make(seconds=60.0, overflow_policy="adaptive", live=False)
    session = node.session
    assert session is not None
    feed(node, 0, 4, 3)
    member = session.streams.find(3)
    assert member is not None
    client.wait_until(lambda: member.stream.buffer.accounts().in_flight == 4, "its window is under way")
    feed(node, 4, 10)
    client.wait_until(lambda: session.streams.accounts().dropped.get("cancelled") == 4, "it is cancelled")
    assert balanced(session.streams.accounts()) and session.streams.members == ()
    client.wait_until(lambda: not session._tracks, "nothing of it is left")


def test_services_take_ids(make: Make, client: Client, tmp_path: Path):
    node = make(output_dir=str(tmp_path))
    name = "attnchain_node"
    assert client.call(SaveMesh, f"{name}/save_mesh", SaveMesh.Request(path="a.ply")).message.startswith("no object is")
    feed(node, 0, 4, 1, 3)
    client.wait_until(lambda: windows(node) == {1: 1, 3: 1}, "a window each")
    for asked, got in ((0, 1), (1, 1), (3, 3)):
        answer = client.call(GetMesh, f"{name}/get_mesh", GetMesh.Request(object_id=asked))
        assert answer.success and answer.mesh.object_id == got and answer.mesh.header.frame_id == f"object_{got}"
    answer = client.call(GetMesh, f"{name}/get_mesh", GetMesh.Request(object_id=2))
    assert not answer.success and answer.message == "there is no object 2, only objects 1 and 3"
    assert client.call(SaveMesh, f"{name}/save_mesh", SaveMesh.Request(path="b.ply", object_id=3)).success
    assert len(read_mesh(tmp_path / "b.ply").vertices) == 6
    answer = client.call(ResetObject, f"{name}/reset_object", ResetObject.Request(object_id=3))
    assert answer.success and "object 3" in answer.message
    assert not client.call(ResetObject, f"{name}/reset_object", ResetObject.Request(object_id=9)).success
    session = node.session
    assert session is not None
    resets = {track.object_id: track.figures().accounts.resets.get("service", 0) for track in session.tracks}
    assert resets == {1: 0, 3: 1}
    answer = client.call(SetAnchor, f"{name}/set_anchor", SetAnchor.Request(generated=True))
    assert not answer.success and "objects 1, 3 are followed: say by object_id" in answer.message
    assert client.call(SetAnchor, f"{name}/set_anchor", SetAnchor.Request(generated=True, object_id=3)).success

    def anchored() -> dict[int, int]:
        return {track.object_id: track.figures().accounts.resets.get("anchor", 0) for track in session.tracks}

    client.wait_until(lambda: anchored() == {1: 0, 3: 1}, "the anchor of object 3 alone")


def test_who_comes_late_gets_the_last_mesh_of_each_object(make: Make, client: Client):
    node = make()
    feed(node, 0, 7, 1, 3)
    client.wait_until(lambda: windows(node) == {1: 2, 3: 2}, "two windows each")
    heard = client.listen("attnchain_node/mesh", AnimatedMesh, LATCHED_WINDOWS)
    client.wait_until(lambda: {(item.object_id, item.window_index) for item in heard} >= {(1, 1), (3, 1)}, "both")


def test_activating_again_begins_without_objects(make: Make, client: Client):
    node = make()
    feed(node, 0, 4, 1, 3)
    client.wait_until(lambda: windows(node) == {1: 1, 3: 1}, "a window each")
    node.trigger_deactivate()
    session = node.session
    assert session is not None and session.tracks == ()
    client.wait_until(lambda: not session._tracks, "nothing is left")
    node.trigger_activate()
    feed(node, 10, 4, 3)
    client.wait_until(lambda: windows(node) == {3: 1}, "a new window")
    assert balanced(session.streams.accounts())
