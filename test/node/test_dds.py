"""The node's inputs over real DDS: whatever a camera or bag offers is received, and what is not is explained."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from node.hand_made import INTRINSICS
from node.ros_harness import (
    BEST_EFFORT,
    LATCHED,
    LATCHED_WINDOWS,
    RELIABLE,
    Camera,
    Client,
    NodeProcess,
    environment,
    image_message,
    info_message,
    mask_message,
)
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from attnchain_ros.msg import AnimatedMesh

pytestmark = pytest.mark.ros

NAME = "attnchain_node"
STEP_NS = 50_000_000
BASE = {"frames": 4, "queue_size": 16, "overflow_policy": "drop_oldest", "max_gap_s": 0.0, "watchdog_s": 1.0}
SUBSCRIBED = re.compile(r"(\S+): subscribing with (.*)")


def stamps(first: int, last: int) -> list[int]:
    return [10**9 + number * STEP_NS for number in range(first, last)]


def values(status: list[DiagnosticStatus]) -> dict[str, str]:
    return {item.key: item.value for item in status[-1].values} if status else {}


@pytest.fixture
def start(tmp_path: Path) -> Iterator:
    running: list[NodeProcess] = []

    def begin(*arguments: str, seconds: float = 0.0, **parameters) -> NodeProcess:
        log = tmp_path / f"node{len(running)}.log"
        options = BASE | {"output_dir": str(tmp_path)} | parameters
        running.append(NodeProcess(log, *arguments, seconds=seconds, parameters=options))
        return running[-1]

    yield begin
    for process in running:
        process.kill()


def test_every_reliability_and_durability_is_received_without_a_setting(client: Client, start):
    """One camera after another, each gone before the next comes: also a publisher that dies and returns."""
    node = start()
    mesh = client.listen(f"{NAME}/mesh", AnimatedMesh)
    number = 0
    for reliability in (ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE):
        for durability in (DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL):
            camera = Camera(client, INTRINSICS, QoSProfile(depth=20, reliability=reliability, durability=durability))
            camera.wait_for_node()
            before, end = len(mesh), time.monotonic() + 30
            while len(mesh) < before + 2:  # best effort may lose some
                assert time.monotonic() < end, (reliability, durability, node.text())
                camera.send(stamps(number, number + 4), rate_hz=50.0)
                number += 4
            camera.close()
    told = SUBSCRIBED.findall(node.text())
    assert len(told) == len(set(told)), "each profile is named once, however often publishers come and go"


def test_masks_and_calibration_from_before_the_node_started_are_used(client: Client, start):
    masks = client.node.create_publisher(Image, "mask", LATCHED)
    infos = client.node.create_publisher(CameraInfo, "camera_info", LATCHED)
    masks.publish(mask_message(stamps(0, 1)[0]))
    infos.publish(info_message(stamps(0, 1)[0], INTRINSICS))
    node = start(mask_mode="latest", overflow_policy="block")
    mesh = client.listen(f"{NAME}/mesh", AnimatedMesh)
    images = client.node.create_publisher(Image, "image", RELIABLE)
    client.wait_until(lambda: images.get_subscription_count(), "the node subscribes")
    for stamp in stamps(1, 9):
        images.publish(image_message(stamp))
    client.wait_until(lambda: mesh, f"a window with the latched mask: {node.text()}")
    assert "no camera_info came" not in node.text()


def test_overrides_by_the_user_win_and_a_wrong_one_is_named(client: Client, start):
    key = "qos_overrides./robot/image.subscription.reliability"
    node = start(
        "-r", "__ns:=/robot", "-p", f"{key}:=reliable", "-p", "qos_overrides./robot/mask.subscription.depth:=3",
        "-p", f"qos_overrides./robot/{NAME}/mesh.publisher.reliability:=best_effort",
    )  # fmt: skip
    robot = Client("robot")
    try:
        camera = Camera(robot, INTRINSICS, BEST_EFFORT)
        robot.wait_until(lambda: "which they do not offer" in node.text(), "the watchdog names the override")
        assert f"leave out the override {key}" in node.text()
        (asked,) = robot.node.get_subscriptions_info_by_topic("/robot/image")
        assert asked.qos_profile.reliability == ReliabilityPolicy.RELIABLE
        (offered,) = robot.node.get_publishers_info_by_topic(f"/robot/{NAME}/mesh")
        assert offered.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
        assert offered.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL  # not overridden
        camera.close()
        camera = Camera(robot, INTRINSICS, RELIABLE)
        camera.wait_for_node()
        clouds = robot.listen(f"{NAME}/tracks", PointCloud2)
        camera.send(stamps(0, 8))
        robot.wait_until(lambda: clouds, "a window from the reliable camera")
    finally:
        robot.close()


def test_two_nodes_in_two_namespaces_do_not_hear_one_another(start):
    left, right = Client("left"), Client("right")
    try:
        start("-r", "__ns:=/left", overflow_policy="block")
        start("-r", "__ns:=/right", overflow_policy="block", object_frame_prefix="right_")
        sides = []
        for client, count in ((left, 4), (right, 7)):
            camera = Camera(client, INTRINSICS, RELIABLE)
            mesh = client.listen(f"{NAME}/mesh", AnimatedMesh)
            status = client.listen(f"{NAME}/status", DiagnosticStatus, LATCHED)
            camera.wait_for_node()
            sides.append((client, camera, count, mesh, status))
        for _, camera, count, _, _ in sides:
            camera.send(stamps(0, count))
        for client, _, count, _, status in sides:
            client.wait_until(
                lambda count=count, status=status: values(status).get("frames used") == str(count), f"{count} frames"
            )
            assert values(status)["frames in"] == str(count)
        # The status is of a topic of its own, and may overtake the mesh that was sent before it.
        for (client, _, _, mesh, _), windows in zip(sides, (1, 2), strict=True):
            client.wait_until(lambda mesh=mesh, windows=windows: len(mesh) >= windows, f"{windows} windows")
        assert {message.header.frame_id for message in sides[0][3]} == {"object_1"}
        assert {message.header.frame_id for message in sides[1][3]} == {"right_object_1"}
        assert (len(sides[0][3]), len(sides[1][3])) == (1, 2)
    finally:
        left.close()
        right.close()


def test_a_subscriber_that_does_not_keep_up_holds_nobody_up(client: Client, start):
    start(overflow_policy="block")
    mesh = client.listen(f"{NAME}/mesh", AnimatedMesh)
    asleep = Client()  # subscribes to everything, reliable and keeping all, and never takes a message
    try:
        greedy = QoSProfile(history=HistoryPolicy.KEEP_ALL, depth=0, reliability=ReliabilityPolicy.RELIABLE)
        asleep.listen(f"{NAME}/mesh", AnimatedMesh, greedy)
        asleep.listen(f"{NAME}/tracks", PointCloud2, greedy)
        camera = Camera(client, INTRINSICS, RELIABLE)
        camera.wait_for_node()
        camera.send(stamps(0, 40))
        client.wait_until(lambda: len(mesh) == 13, "13 windows although one subscriber sleeps")
        assert not asleep.heard[f"{NAME}/mesh"]
    finally:
        asleep.close()
    late = Client()
    try:
        latched = late.listen(f"{NAME}/mesh", AnimatedMesh, LATCHED_WINDOWS)
        late.wait_until(lambda: latched and latched[-1].window_index == 12, "a late joiner gets the last window")
    finally:
        late.close()


def fake_camera(clip: Path, log: Path, *arguments: str) -> subprocess.Popen:
    with log.open("ab") as file:
        command = [sys.executable, "-m", "attnchain_ros.cli", "fake-camera", str(clip), *arguments]
        return subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment())


def test_a_camera_that_is_killed_and_returns_is_followed(client: Client, start, tmp_path: Path):
    clip = tmp_path / "clip"
    clip.mkdir()
    for number in range(6):
        picture = np.full((24, 32, 4), 90, np.uint8)
        picture[..., 3] = 0
        picture[6:18, 4 + number : 20 + number, 3] = 255
        cv2.imwrite(str(clip / f"{number}.png"), picture)
    node = start(overflow_policy="adaptive", max_gap_s=1.0)
    mesh = client.listen(f"{NAME}/mesh", AnimatedMesh)
    status = client.listen(f"{NAME}/status", DiagnosticStatus, LATCHED)
    for turn in range(3):
        camera = fake_camera(clip, tmp_path / "camera.log", "--loop", "--rate", "20", "--qos", "best_effort")
        try:
            wanted = len(mesh) + 2
            client.wait_until(lambda wanted=wanted: len(mesh) >= wanted, f"windows in turn {turn}: {node.text()}")
        finally:
            camera.send_signal(signal.SIGKILL)  # no goodbye: the node learns of it when the lease ends
            camera.wait(10)
    told = SUBSCRIBED.findall(node.text())
    assert len(told) == len(set(told))
    figures = values(status)
    assert int(figures["frames in"]) == sum(
        int(figures[key]) for key in ("frames used", "frames dropped", "frames in flight", "frames waiting")
    )


def compressed(stamp_ns: int, pixels: np.ndarray, kind: str, like: Image) -> CompressedImage:
    message = CompressedImage(header=like.header, format=kind)
    message.data = cv2.imencode(f".{kind}", pixels)[1].tobytes()
    return message


def test_compressed_images_and_png_masks_with_ids(client: Client, start):
    node = start(image_transport="compressed", mask_transport="compressed", mask_instance_id=700)
    mesh = client.listen(f"{NAME}/mesh", AnimatedMesh)
    raw = client.node.create_publisher(Image, "image", RELIABLE)
    client.wait_until(
        lambda: "but /image is published: set the parameter image_transport to raw" in node.text(), "the watchdog"
    )
    client.node.destroy_publisher(raw)
    images = client.node.create_publisher(CompressedImage, "image/compressed", RELIABLE)
    masks = client.node.create_publisher(CompressedImage, "mask/compressed", RELIABLE)
    client.wait_until(lambda: images.get_subscription_count() and masks.get_subscription_count(), "the node subscribes")
    ids = np.zeros((24, 32), np.uint16)
    ids[6:18, 8:24] = 700
    ids[0:4] = 3
    for number, stamp in enumerate(stamps(0, 12)):
        plain = image_message(stamp)
        if number < 3:  # masks that cannot be used are told of once and cost nothing but their frames
            mask = compressed(stamp, np.where(ids == 700, 255, 0).astype(np.uint8), "jpg", plain)
        else:
            mask = compressed(stamp, ids, "png", plain)
        masks.publish(mask)
        images.publish(compressed(stamp, np.full((24, 32, 3), 90, np.uint8), "jpg", plain))
        client.executor.spin_once(timeout_sec=0.02)
    client.wait_until(lambda: mesh, f"a window of compressed images: {node.text()}")
    assert node.text().count("a JPEG blurs ids") == 1


def test_images_without_stamps_are_stamped_when_they_arrive(client: Client, start):
    node = start(overflow_policy="block")
    mesh = client.listen(f"{NAME}/mesh", AnimatedMesh)
    camera = Camera(client, INTRINSICS, RELIABLE)
    camera.wait_for_node()
    before = time.time()
    for _ in range(7):
        camera.send([0], rate_hz=20.0)
    client.wait_until(lambda: len(mesh) == 2, f"two windows: {node.text()}")
    found = [[stamp.sec + 1e-9 * stamp.nanosec for stamp in window.stamps] for window in mesh]
    times = found[0] + found[1][1:]
    assert found[1][0] == found[0][-1] and len(times) == 7
    assert before <= times[0] and times[-1] <= time.time() and min(np.diff(times)) > 0
    said = "images have no stamps: the time of their arrival is used, and the newest mask for each"
    assert node.text().count(said) == 1


def test_masks_as_jpeg_and_depth_from_elsewhere_are_told_once(client: Client, start):
    node = start(overflow_policy="block", mask_transport="compressed")
    mesh = client.listen(f"{NAME}/mesh", AnimatedMesh)
    images = client.node.create_publisher(Image, "image", RELIABLE)
    masks = client.node.create_publisher(CompressedImage, "mask/compressed", RELIABLE)
    depths = client.node.create_publisher(Image, "depth", RELIABLE)
    topics = (images, masks, depths)
    client.wait_until(lambda: all(topic.get_subscription_count() for topic in topics), "the node subscribes")
    square = np.zeros((24, 32), np.uint8)
    square[6:18, 8:24] = 255
    for stamp in stamps(0, 7):
        depth = image_message(stamp, frame_id="depth_optical")
        depth.encoding, depth.step, depth.data = "32FC1", 128, np.full((24, 32), 2.0, np.float32).tobytes()
        depths.publish(depth)
        masks.publish(compressed(stamp, square, "jpg", image_message(stamp)))
        images.publish(image_message(stamp))
    client.wait_until(lambda: len(mesh) == 2, f"two windows: {node.text()}")
    assert not any(window.metric for window in mesh)
    for said in (
        "masks come as JPEG, which blurs their edges: cut at half; publish PNG",
        "depth is seen from depth_optical, the image from camera_optical: it is ignored",
    ):
        assert node.text().count(said) == 1


def test_masks_whose_stamps_differ_are_explained(client: Client, start):
    node = start(watchdog_s=3.0)
    camera = Camera(client, INTRINSICS, RELIABLE)
    camera.wait_for_node()
    # Masks run ahead, so that however late they come the newest image has neighbours among them; from image 15 on.
    camera.send(stamps(0, 20), mask_shift_ns=725_000_000)
    end = time.monotonic() + 30
    number = 20
    while "mask_tolerance_s is 0.02" not in node.text():
        assert time.monotonic() < end, node.text()
        camera.send(stamps(number, number + 4), rate_hz=20.0, mask_shift_ns=725_000_000)
        number += 4
    assert "masks come on /mask, but the nearest one is 0.025 s away from the newest image" in node.text()


def test_images_lost_on_the_way_are_noticed_with_what_helps(client: Client, start):
    node = start(watchdog_s=2.0)
    status = client.listen(f"{NAME}/status", DiagnosticStatus, LATCHED)
    images = client.node.create_publisher(Image, "image", BEST_EFFORT)
    masks = client.node.create_publisher(Image, "mask", BEST_EFFORT)
    infos = client.node.create_publisher(CameraInfo, "camera_info", BEST_EFFORT)
    client.wait_until(lambda: images.get_subscription_count(), "the node subscribes")
    end = time.monotonic() + 30
    number = 0
    while "images on /image were lost on the way" not in (status[-1].message if status else ""):
        assert time.monotonic() < end, node.text()
        (stamp,) = stamps(number, number + 1)
        infos.publish(info_message(stamp, INTRINSICS))
        masks.publish(mask_message(stamp))
        if number % 5 == 0:  # the rest is what a network without room for large messages makes of it
            images.publish(image_message(stamp))
        number += 1
        due = time.monotonic() + 1 / 30
        client.wait_until(lambda due=due: time.monotonic() >= due, "the next frame is due")
    assert "their camera_info came, they did not" in node.text()
    for remedy in ("let the driver publish reliable", "net.core.rmem_max", "config/fastdds.xml"):
        assert remedy in node.text()


def test_a_clip_that_ended_is_no_fault_while_its_windows_are_computed(client: Client, start):
    node = start(seconds=6.0, overflow_policy="block")
    status = client.listen(f"{NAME}/status", DiagnosticStatus, LATCHED)
    camera = Camera(client, INTRINSICS, RELIABLE)
    camera.wait_for_node()
    camera.send(stamps(0, 4))

    def busy() -> int:
        """Reports, one a second, of a window under way."""
        return sum(values([item]).get("frames in flight") == "4" for item in status)

    client.wait_until(lambda: busy() == 3, "the third report")  # more than watchdog_s after the last image

    def since_then() -> str:
        """The log after the camera was found; before, nothing came, which is said too."""
        text = node.text()
        return text[text.rindex("the chain starts anew") :]

    text = since_then()
    client.wait_until(lambda: busy() == 4, "the window is still under way")
    assert "no image for" not in text
    client.wait_until(lambda: "no image for" in since_then(), "then it is said")
    assert (
        "messages came on /image and stopped, though it has 1 publisher (reliable, volatile): it may be paused"
        in since_then()
    )
    assert "no message came" not in since_then()


def test_a_topic_of_another_type_is_named(client: Client, start):
    node = start()
    wrong = client.node.create_publisher(PointCloud2, "/image", RELIABLE)
    client.wait_until(
        lambda: (
            "/image is published as sensor_msgs/msg/PointCloud2, this node reads sensor_msgs/msg/Image" in node.text()
        ),
        "the watchdog names both types",
    )
    client.node.destroy_publisher(wrong)


def test_without_any_mask_the_object_is_cut_out_by_its_colours(client: Client, start):
    node = start(
        foreground="grabcut", foreground_box="6,4,22,16", overflow_policy="block", max_gap_s=1.0, use_depth=False
    )
    mesh = client.listen(f"{NAME}/mesh", AnimatedMesh)
    status = client.listen(f"{NAME}/status", DiagnosticStatus, LATCHED)
    images = client.node.create_publisher(Image, "image", RELIABLE)
    client.wait_until(lambda: images.get_subscription_count(), "the node subscribes")
    for unread in ("/mask", "/depth"):
        assert not client.node.get_subscriptions_info_by_topic(unread), f"{unread} is not read"
    for number, stamp in enumerate(stamps(0, 7)):
        message = image_message(stamp)
        pixels = np.full((24, 32, 3), (20, 60, 160), np.uint8)
        pixels[8:16, 10 + number : 20 + number] = 220, 40, 30
        message.data = pixels.tobytes()
        images.publish(message)
    client.wait_until(lambda: len(mesh) == 2, f"two windows without masks: {node.text()}")
    client.wait_until(lambda: values(status).get("frames masked by GrabCut") == "7", "the status says so")
    assert node.text().count("the object is cut out by GrabCut, starting from the box 6,4,22,16") == 1
    assert "it fails where object and background look alike" in node.text()
