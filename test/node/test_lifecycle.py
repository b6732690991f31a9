"""The real node over real DDS, in a process of its own, with an engine that knows the answer."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseWithCovarianceStamped
from lifecycle_msgs.srv import GetState
from nav_msgs.msg import Path as PathMessage
from node.hand_made import BAD_LUCK, DEAF, INTRINSICS, camera_from_object_at, vertices_at
from node.ros_harness import LATCHED, LATCHED_WINDOWS, RELIABLE, Camera, Client, NodeProcess
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import DescribeParameters, SetParameters
from sensor_msgs.msg import PointCloud2
from std_srvs.srv import SetBool, Trigger
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from attnchain_ros.msg import AnimatedMesh, Tracks
from attnchain_ros.srv import GetMesh, SaveMesh

pytestmark = pytest.mark.ros

NAME = "attnchain_node"
STEP_NS = 50_000_000
START_NS = 1_000_000_000
BASE = {"frames": 4, "queue_size": 16, "overflow_policy": "block", "max_gap_s": 1.0, "watchdog_s": 1.0}


def stamps(first: int, last: int) -> list[int]:
    return [START_NS + number * STEP_NS for number in range(first, last)]


def nanoseconds(stamp) -> int:
    return stamp.sec * 10**9 + stamp.nanosec


def matrix_of(translation, rotation) -> np.ndarray:
    x, y, z, w = rotation.x, rotation.y, rotation.z, rotation.w
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, 3] = translation.x, translation.y, translation.z
    return matrix


def values(status: DiagnosticStatus) -> dict[str, str]:
    return {item.key: item.value for item in status.values}


@pytest.fixture
def start(tmp_path: Path) -> Iterator:
    running: list[NodeProcess] = []

    def begin(*arguments: str, seconds: float = 0.0, **parameters) -> NodeProcess:
        options = {**BASE, "output_dir": str(tmp_path / "out"), **parameters}
        running.append(
            NodeProcess(tmp_path / f"node{len(running)}.log", *arguments, seconds=seconds, parameters=options)
        )
        return running[-1]

    yield begin
    for process in running:
        process.kill()


def set_parameter(client: Client, name: str, value, node: str = NAME):
    found = ParameterValue()
    if isinstance(value, bool):
        found.type, found.bool_value = ParameterType.PARAMETER_BOOL, value
    elif isinstance(value, int):
        found.type, found.integer_value = ParameterType.PARAMETER_INTEGER, value
    elif isinstance(value, float):
        found.type, found.double_value = ParameterType.PARAMETER_DOUBLE, value
    else:
        found.type, found.string_value = ParameterType.PARAMETER_STRING, value
    request = SetParameters.Request(parameters=[Parameter(name=name, value=found)])
    return client.call(SetParameters, f"{node}/set_parameters", request).results[0]


def state_of(client: Client, node: str = NAME) -> str:
    return client.ask(GetState, f"{node}/get_state", GetState.Request()).current_state.label


def transition(client: Client, label: str) -> bool:
    return client.transition(NAME, label)


def test_every_output_agrees_with_the_truth(client: Client, start, tmp_path: Path):
    node = start(markers_rate_hz=1000.0)
    mesh = client.listen(f"{NAME}/mesh", AnimatedMesh)
    tracks_window = client.listen(f"{NAME}/tracks_window", Tracks)
    clouds = client.listen(f"{NAME}/tracks", PointCloud2)
    poses = client.listen(f"{NAME}/camera_pose", PoseWithCovarianceStamped)
    objects = client.listen(f"{NAME}/object_pose", PoseWithCovarianceStamped)
    paths = client.listen(f"{NAME}/camera_path", PathMessage)
    markers = client.listen(f"{NAME}/markers", MarkerArray)
    transforms = client.listen("/tf", TFMessage)
    status = client.listen(f"{NAME}/status", DiagnosticStatus, LATCHED)
    diagnostics = client.listen("/diagnostics", DiagnosticArray)
    camera = Camera(client, INTRINSICS, RELIABLE)
    camera.wait_for_node()
    sent = stamps(0, 12)  # windows 0-3, 3-6, 6-9, and 9-11 when the stream ends
    camera.send(sent)
    client.wait_until(lambda: len(mesh) == 4 and len(markers) == 4 and len(paths) == 4, "four windows")
    client.wait_until(
        lambda: (
            len(clouds) == len(poses) == len(objects) == sum(len(message.transforms) for message in transforms) == 12
        ),
        "a cloud, a pose and a transform for each frame",
    )

    assert [message.window_index for message in mesh] == [0, 1, 2, 3]
    assert [message.frame_count for message in mesh] == [4, 4, 4, 3]
    assert len({message.topology_id for message in mesh}) == 1
    for message in mesh:
        assert message.header.frame_id == "object_1"
        got = np.array(message.vertices).reshape(message.frame_count, message.vertex_count, 3)
        for stamp, vertices in zip(message.stamps, got, strict=True):
            np.testing.assert_array_equal(vertices, vertices_at(nanoseconds(stamp)))
        assert len(message.triangles) == 24 and len(message.vertex_colors) == 18

    # TF, pose and cloud of every frame, once each, at its own stamp, and agreeing to 1e-6.
    found = {nanoseconds(item.header.stamp): item for message in transforms for item in message.transforms}
    assert sum(len(message.transforms) for message in transforms) == 12
    assert sorted(found) == sent == [nanoseconds(item.header.stamp) for item in poses]
    for stamp, transform in found.items():
        assert (transform.header.frame_id, transform.child_frame_id) == ("camera_optical", "object_1")
        camera_from_object = matrix_of(transform.transform.translation, transform.transform.rotation)
        np.testing.assert_allclose(camera_from_object, camera_from_object_at(stamp), atol=1e-9)
    for message in poses:
        assert message.header.frame_id == "object_1"
        pose = matrix_of(message.pose.pose.position, message.pose.pose.orientation)
        np.testing.assert_allclose(
            pose @ camera_from_object_at(nanoseconds(message.header.stamp)), np.eye(4), atol=1e-9
        )
    for message in objects:  # what planners want: where the object is, in the camera's frame
        assert message.header.frame_id == "camera_optical"
        pose = matrix_of(message.pose.pose.position, message.pose.pose.orientation)
        np.testing.assert_allclose(pose, camera_from_object_at(nanoseconds(message.header.stamp)), atol=1e-9)
    assert [len(message.poses) for message in paths] == [4, 7, 10, 12]

    kind = np.dtype({"names": ["xyz", "rgb", "id", "confidence", "visible"], "offsets": [0, 12, 16, 20, 24],
                     "formats": ["3f4", "u4", "i4", "f4", "u1"], "itemsize": 28})  # fmt: skip
    for message in clouds:
        rows = np.frombuffer(bytes(message.data), kind)
        stamp = nanoseconds(message.header.stamp)
        pose = camera_from_object_at(stamp)
        np.testing.assert_allclose(rows["xyz"], vertices_at(stamp) @ pose[:3, :3].T + pose[:3, 3], atol=1e-6)
        assert rows["id"].tolist() == list(range(10, 16)) and rows["visible"].tolist() == [1, 0] * 3
        assert rows["rgb"].tolist() == [0xFF0000, 0x00FF00, 0x0000FF, 0xFFFF00, 0x00FFFF, 0xFF00FF]
        assert message.header.frame_id == "camera_optical"

    window = tracks_window[-1]
    points = np.array(window.points_camera).reshape(window.frame_count, window.track_count, 3)
    pixels = points @ INTRINSICS.T
    np.testing.assert_allclose(
        np.array(window.points_px).reshape(window.frame_count, window.track_count, 2),
        pixels[..., :2] / pixels[..., 2:],
        atol=1e-4,
    )
    marker = markers[-1].markers[0]
    corners = np.array([[point.x, point.y, point.z] for point in marker.points])
    assert corners.shape == (24, 3) and len(marker.colors) == 24
    np.testing.assert_allclose(np.abs(corners).max(), vertices_at(sent[-1]).max(), atol=1e-6)

    client.wait_until(lambda: diagnostics and values(diagnostics[-1].status[0]).get("frames used") == "12", "figures")
    figures = values(diagnostics[-1].status[0])
    assert figures["frames in"] == "12" and figures["frames dropped"] == "0" and figures["windows"] == "4"
    assert status[-1].name == NAME and figures["state"] == "active"

    # A late joiner gets the last meshes although they were published before: in order, the newest last.
    late = Client()
    try:
        latched = late.listen(f"{NAME}/mesh", AnimatedMesh, LATCHED_WINDOWS)
        late.wait_until(lambda: latched and latched[-1].window_index == 3, "the latched meshes")
        assert [message.window_index for message in latched] == [0, 1, 2, 3] and latched[-1] == mesh[-1]
    finally:
        late.close()

    # Files.
    for name in ("a.glb", "b.ply", "c.obj", "sub/d.npz"):
        answer = client.call(SaveMesh, f"{NAME}/save_mesh", SaveMesh.Request(path=name))
        assert answer.success, answer.message
        assert Path(answer.path) == tmp_path / "out" / name and Path(answer.path).stat().st_size > 0
    for name, reason in (("../x.glb", "'..'"), ("/x.glb", "leads out"), ("a.glb", "exists already"), ("a.stl", ".stl")):
        answer = client.call(SaveMesh, f"{NAME}/save_mesh", SaveMesh.Request(path=name))
        assert not answer.success and reason in answer.message
    answer = client.call(GetMesh, f"{NAME}/get_mesh", GetMesh.Request())
    assert answer.success and answer.mesh == mesh[-1]
    assert not client.call(GetMesh, f"{NAME}/get_mesh", GetMesh.Request(object_id=5)).success
    assert node.end(signal.SIGTERM) == 0


def test_a_failed_window_is_skipped_and_the_node_goes_on(client: Client, start):
    node = start()
    mesh = client.listen(f"{NAME}/mesh", AnimatedMesh)
    status = client.listen(f"{NAME}/status", DiagnosticStatus, LATCHED)
    camera = Camera(client, INTRINSICS, RELIABLE)
    camera.wait_for_node()
    camera.send(stamps(0, 4))
    client.wait_until(lambda: len(mesh) == 1, "the first window")
    camera.send(stamps(4, 7))  # the shared frame, whose first pixel decides, is still a good one
    client.wait_until(lambda: len(mesh) == 2, "the second window")
    camera.send([START_NS - 10**9 + stamp for stamp in stamps(0, 4)], first_pixel=BAD_LUCK)  # the stamps jump back
    client.wait_until(
        lambda: status and values(status[-1]).get("windows failed") == "1", "the failed window in the status"
    )
    assert "all masks are empty" in values(status[-1])["last error"]
    assert values(status[-1])["resets: stamp_back"] == "1"
    camera.send(stamps(20, 24))
    client.wait_until(lambda: len(mesh) == 3, "a window after the failed one")
    assert mesh[-1].window_index == 0 and mesh[-1].topology_id != mesh[0].topology_id
    figures = values(status[-1])
    assert int(figures["frames in"]) == sum(
        int(figures[key]) for key in ("frames used", "frames dropped", "frames in flight", "frames waiting")
    )
    assert "all masks are empty" in node.text()


def test_services_and_parameters_answer_while_a_window_is_computed(client: Client, start):
    node = start(seconds=600.0, overflow_policy="adaptive")
    status = client.listen(f"{NAME}/status", DiagnosticStatus, LATCHED)
    camera = Camera(client, INTRINSICS)
    camera.wait_for_node()
    camera.send(stamps(0, 16))  # best effort: the very first ones may be lost while the endpoints find one another
    client.wait_until(lambda: status and values(status[-1]).get("frames in flight") == "4", "a window under way")

    assert not client.call(GetMesh, f"{NAME}/get_mesh", GetMesh.Request()).success
    assert set_parameter(client, "sampling.steps", 2).successful
    assert set_parameter(client, "sampling.guidance", 3).successful  # a whole number for a float
    for name, value, reason in (
        ("sampling.steps", 0, "1"),
        ("overflow_policy", "lossy", "adaptive, drop_oldest, block"),
        ("queue_size", 2, "a window has 4 frames"),
        ("weights", "elsewhere", "clean it up first"),
        ("sampling.guidance", "much", "type float"),
    ):
        answer = set_parameter(client, name, value)
        assert not answer.successful and reason in answer.reason, (name, answer.reason)
    assert not set_parameter(client, "autostart", False).successful

    assert client.call(Trigger, f"{NAME}/reset", Trigger.Request()).success
    client.wait_until(
        lambda: values(status[-1]).get("dropped: cancelled") == "4", "the reset cancels the window under way"
    )
    assert values(status[-1])["resets: service"] == "1"
    assert client.call(SetBool, f"{NAME}/enable", SetBool.Request(data=False)).success
    camera.send(stamps(20, 23))
    client.wait_until(lambda: values(status[-1]).get("dropped: disabled") == "3", "disabled frames are counted")
    assert client.call(SetBool, f"{NAME}/enable", SetBool.Request(data=True)).success
    camera.send(stamps(24, 28))
    client.wait_until(lambda: values(status[-1]).get("frames in flight") == "4", "a window under way again")
    started = time.monotonic()
    assert node.end(signal.SIGINT) == 0
    assert time.monotonic() - started < 5.0


def test_answers_come_soon_while_a_window_is_computed(client: Client, start):
    start(seconds=600.0)
    status = client.listen(f"{NAME}/status", DiagnosticStatus, LATCHED)
    camera = Camera(client, INTRINSICS, RELIABLE)
    camera.wait_for_node()
    camera.send(stamps(0, 4))
    client.wait_until(lambda: status and values(status[-1]).get("frames in flight") == "4", "a window under way")
    value = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=0.03)
    change = SetParameters.Request(parameters=[Parameter(name="tracks.visibility_margin", value=value)])
    for kind, name, request in (
        (GetMesh, "get_mesh", GetMesh.Request()),
        (SaveMesh, "save_mesh", SaveMesh.Request(path="x.glb")),
        (SetParameters, "set_parameters", change),
        (SetBool, "enable", SetBool.Request(data=True)),
        (Trigger, "reset", Trigger.Request()),
    ):
        found = client.node.create_client(kind, f"{NAME}/{name}")
        client.wait_until(found.service_is_ready, f"service {name}")
        started = time.monotonic()
        future = found.call_async(request)
        client.wait_until(future.done, f"answer of {name}")
        # The budget of 200 ms is for benchmarks/node.py; here it is only not to wait for the window.
        assert time.monotonic() - started < 2.0, name
        client.node.destroy_client(found)


def test_whatever_breaks_the_chain_is_counted_and_said(client: Client, start):
    node = start(max_gap_s=8.0)  # a machine that is busy for a second is no pause of the camera
    mesh = client.listen(f"{NAME}/mesh", AnimatedMesh)
    status = client.listen(f"{NAME}/status", DiagnosticStatus, LATCHED)
    camera = Camera(client, INTRINSICS, RELIABLE)
    camera.wait_for_node()
    pieces = (
        (stamps(0, 4), {}),
        ([stamps(3, 4)[0]] * 2 + stamps(0, 4), {}),  # repeated, then a looping bag
        (stamps(200, 204), {}),  # a gap
        (stamps(204, 208), {"frame_id": "other_camera"}),
        (stamps(208, 209), {"frame_id": "other_camera", "size": (12, 16)}),  # its mask does not fit
        (stamps(209, 213), {"frame_id": "other_camera"}),
    )
    windows = (1, 2, 3, 4, 4, 5)
    for count, (piece, options) in zip(windows, pieces, strict=True):
        camera.send(piece, **options)
        # What a break finds unfinished is dropped in a live stream: each piece's window has to be out before.
        client.wait_until(lambda count=count: len(mesh) == count, f"window {count}")
    assert [message.window_index for message in mesh] == [0] * 5
    assert len({message.topology_id for message in mesh}) == 5
    client.wait_until(lambda: status and values(status[-1]).get("frames used") == "20", "the last figures")
    figures = values(status[-1])
    resets = {key: value for key, value in figures.items() if key.startswith("resets: ")}
    assert resets == {f"resets: {cause}": "1" for cause in ("activated", "stamp_back", "gap", "frame_id", "image_size")}
    assert (figures["dropped: repeated_stamp"], figures["dropped: mask_size"]) == ("2", "1")
    assert figures["frames in"] == "23" and figures["frames dropped"] == "3"
    for cause in ("stamp_back", "gap", "frame_id", "image_size"):
        assert f"the chain starts anew ({cause})" in node.text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_inside_a_step_that_cannot_be_interrupted(client: Client, start, number: int):
    node = start(seconds=600.0)
    status = client.listen(f"{NAME}/status", DiagnosticStatus, LATCHED)
    camera = Camera(client, INTRINSICS, RELIABLE)
    camera.wait_for_node()
    camera.send(stamps(0, 6), first_pixel=DEAF)
    client.wait_until(lambda: status and values(status[-1]).get("frames in flight") == "4", "a window under way")
    assert node.end(number, timeout_s=5.0) == 0
    assert "inside a step that cannot be interrupted" in node.text()
    assert "frames: 6 in = 0 used + 2 dropped (reset_deactivated 2) + 4 left behind" in node.text()


def test_a_signal_while_the_weights_are_loaded(client: Client, start):
    node = start(weights="slow")
    client.wait_until(lambda: client.node.get_publishers_info_by_topic(f"{NAME}/status"), "the node is there")
    assert node.end(signal.SIGTERM, timeout_s=5.0) == 0


def test_managed_node_goes_through_its_states(client: Client, start):
    start(autostart=False)
    assert state_of(client) == "unconfigured"
    assert not client.call(Trigger, f"{NAME}/reset", Trigger.Request()).success
    mesh = client.listen(f"{NAME}/mesh", AnimatedMesh)
    camera = Camera(client, INTRINSICS, RELIABLE)
    for turn in range(3):
        assert transition(client, "configure") and state_of(client) == "inactive"
        assert not set_parameter(client, "dtype", "bfloat16").successful
        assert transition(client, "activate") and state_of(client) == "active"
        camera.wait_for_node()
        camera.send(stamps(0, 4))
        client.wait_until(lambda turn=turn: len(mesh) == turn + 1, f"a window in turn {turn}")
        assert transition(client, "deactivate") and state_of(client) == "inactive"
        assert transition(client, "cleanup") and state_of(client) == "unconfigured"
        assert set_parameter(client, "dtype", "float32").successful
    assert transition(client, "shutdown") and state_of(client) == "finalized"


@pytest.mark.parametrize(
    ("weights", "texts"),
    [
        ("missing", ["configure failed: WeightsError: no checkpoint folder at missing"]),
        (
            "broken",
            ["configure failed: ZeroDivisionError: a fault that nobody foresaw", "Traceback", "node_process.py"],
        ),
    ],
)
def test_a_failing_configure_says_why_and_can_be_repeated(client: Client, start, weights: str, texts: list[str]):
    node = start(weights=weights)
    client.wait_until(lambda: all(text in node.text() for text in texts), f"the reason in the log: {texts}")
    assert state_of(client) == "unconfigured"
    assert set_parameter(client, "weights", "").successful
    assert transition(client, "configure") and transition(client, "activate")
    assert state_of(client) == "active"


def test_bad_start_parameters_end_the_node_with_all_reasons(start):
    node = start(frames=1, overflow_policy="lossy")
    assert node.process.wait(60) == 2
    assert "frames is 1, the least allowed is 2" in node.text()
    assert "overflow_policy is 'lossy'" in node.text()


def test_parameters_are_described_as_in_the_table(client: Client, start):
    from attnchain_ros.node.parameters import TABLE

    node = start("-p", "mask_mod:=latest")
    request = DescribeParameters.Request(names=list(TABLE))
    answer = client.call(DescribeParameters, f"{NAME}/describe_parameters", request)
    assert len(answer.descriptors) == len(TABLE)
    for spec, found in zip(TABLE.values(), answer.descriptors, strict=True):
        assert found.name == spec.name and spec.doc in found.description
        ranges = [*found.integer_range, *found.floating_point_range]
        assert len(ranges) == int(spec.low is not None or spec.high is not None)
        if spec.low is not None:
            assert ranges[0].from_value == spec.low
    assert "'mask_mod' was given but this node has none of that name; did you mean 'mask_mode'?" in node.text()


def test_the_watchdog_says_what_is_missing(client: Client, start):
    from sensor_msgs.msg import Image

    other = client.node.create_publisher(Image, "/front/image_raw", RELIABLE)
    node = start("-r", "__ns:=/robot")
    client.wait_until(lambda: "nothing publishes /robot/image" in node.text(), "the watchdog")
    # The first warning may come before the other topic was discovered; it is repeated every 30 s.
    client.wait_until(
        lambda: "/front/image_raw (sensor_msgs/msg/Image; reliable, volatile)" in node.text(), "the topic in a warning"
    )
    client.node.destroy_publisher(other)


def test_a_burst_of_saves_is_answered_whole(client: Client, start):
    """Done, or busy at once: no call waits for ever, and what is said to be written is there."""
    start()
    mesh = client.listen(f"{NAME}/mesh", AnimatedMesh)
    camera = Camera(client, INTRINSICS, RELIABLE)
    camera.wait_for_node()
    camera.send(stamps(0, 4))
    client.wait_until(lambda: mesh, "a window")
    service = client.node.create_client(SaveMesh, f"{NAME}/save_mesh")
    client.wait_until(service.service_is_ready, "the service")
    calls = []
    for number in range(400):
        due = time.monotonic() + 1 / 200
        calls.append(service.call_async(SaveMesh.Request(path=f"burst/{number}.npz")))
        client.wait_until(lambda due=due: time.monotonic() >= due, "the next call is due")
    client.wait_until(lambda: all(call.done() for call in calls), "every call is answered")
    answers = [call.result() for call in calls]
    written = [answer for answer in answers if answer.success]
    assert written and all(Path(answer.path).stat().st_size > 0 for answer in written)
    assert {answer.message for answer in answers if not answer.success} <= {
        "busy: another file is being written, ask again"
    }
