"""The live lane over real DDS: a pose for every image while windows are computed, or that it is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseWithCovarianceStamped
from live import moving_plane as plane
from node.hand_made import TURNED
from node.ros_harness import LATCHED, RELIABLE, Client, NodeProcess
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage

from attnchain_ros.msg import AnimatedMesh

pytestmark = pytest.mark.ros

NAME = "attnchain_node"
STEP_NS = 80_000_000
START_NS = 1_000_000_000
WINDOW_S = 1.0


def nanoseconds(stamp) -> int:
    return stamp.sec * 10**9 + stamp.nanosec


def stamped(message, stamp_ns: int):
    message.header.frame_id = "camera_optical"
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    return message


def image_of(pixels: np.ndarray, stamp_ns: int) -> Image:
    message = Image(
        height=pixels.shape[0], width=pixels.shape[1], encoding="rgb8" if pixels.ndim == 3 else "mono8",
        step=pixels[0].nbytes,
    )  # fmt: skip
    message.data = pixels.tobytes()
    return stamped(message, stamp_ns)


class PlaneCamera:
    """Films the moving plane; ``stamps`` of what was sent."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.stamps: list[int] = []
        self._out = [
            client.node.create_publisher(kind, topic, RELIABLE)
            for kind, topic in ((CameraInfo, "camera_info"), (Image, "mask"), (Image, "image"))
        ]
        client.wait_until(lambda: all(one.get_subscription_count() for one in self._out), "the node subscribes")

    def send(self, *, blank: bool = False, first_pixel: int = 0) -> int:
        """One image, as a camera that keeps its rate; spins meanwhile."""
        due = time.monotonic() + 1e-9 * STEP_NS
        stamp = START_NS + len(self.stamps) * STEP_NS
        info = CameraInfo(height=plane.HEIGHT, width=plane.WIDTH, distortion_model="plumb_bob", d=[0.0] * 5)
        info.k = plane.INTRINSICS.ravel()
        info.p = np.concatenate([plane.INTRINSICS, np.zeros((3, 1))], axis=1).ravel()
        image = plane.image_at(stamp)
        image[0, 0] = first_pixel
        for publisher, message in zip(
            self._out,
            (
                stamped(info, stamp),
                image_of(plane.mask_at(stamp) * np.uint8(255), stamp),
                image_of(np.full_like(image, 90) if blank else image, stamp),
            ),
            strict=True,
        ):
            publisher.publish(message)
        self.stamps.append(stamp)
        self.client.wait_until(lambda: time.monotonic() >= due, "the next frame is due")
        return stamp


class Heard:
    """What the node says."""

    def __init__(self, client: Client) -> None:
        self.tf = client.listen("/tf", TFMessage)
        self.poses = client.listen(f"{NAME}/pose_live", PoseWithCovarianceStamped)
        self.clouds = client.listen(f"{NAME}/tracks_live", PointCloud2)
        self.meshes = client.listen(f"{NAME}/mesh", AnimatedMesh)
        self.status = client.listen(f"{NAME}/status", DiagnosticStatus, LATCHED)

    @property
    def live(self) -> dict[int, np.ndarray]:
        """camera_from_object by stamp, of the live frame."""
        found = {}
        for one in (one for message in self.tf for one in message.transforms):
            if one.child_frame_id == "robot_object_1_live":
                assert one.header.frame_id == "camera_optical"
                pose = np.eye(4)
                turn, shift = one.transform.rotation, one.transform.translation
                pose[:3, :3] = Rotation.from_quat([turn.x, turn.y, turn.z, turn.w]).as_matrix()
                pose[:3, 3] = shift.x, shift.y, shift.z
                assert nanoseconds(one.header.stamp) not in found, "each image once"
                found[nanoseconds(one.header.stamp)] = pose
        return found

    def figure(self, key: str) -> str:
        """One of the newest status."""
        return {item.key: item.value for item in self.status[-1].values}.get(key, "") if self.status else ""


@pytest.fixture
def start(tmp_path: Path) -> Iterator:
    running: list[NodeProcess] = []

    def begin(**parameters) -> NodeProcess:
        options = {"frames": 4, "queue_size": 64, "watchdog_s": 0.0, "weights": "plane",
                   "object_frame_prefix": "robot_", "output_dir": str(tmp_path / "out"), **parameters}  # fmt: skip
        running.append(NodeProcess(tmp_path / "node.log", seconds=WINDOW_S, parameters=options))
        return running[-1]

    yield begin
    for process in running:
        process.kill()


def test_every_image_has_a_pose_while_windows_are_computed_or_is_lost(client: Client, start):
    start()
    heard = Heard(client)
    camera = PlaneCamera(client)
    while len(heard.live) < 40 or len(heard.meshes) < 3:
        camera.send()
        assert len(camera.stamps) < 400, "no live poses: see the node's log"
    live = heard.live
    assert set(live) <= set(camera.stamps)
    # From the first one on hardly an image is left out, and most are newer than any window there was.
    since = [stamp for stamp in camera.stamps if stamp >= min(live)][: len(live)]
    assert len(set(since) & set(live)) >= 0.7 * len(since)
    in_windows = {nanoseconds(stamp) for mesh in heard.meshes for stamp in mesh.stamps}
    assert len(set(live) - in_windows) > 20
    for stamp, pose in live.items():
        true = plane.pose_at(stamp)
        assert np.degrees(Rotation.from_matrix(true[:3, :3].T @ pose[:3, :3]).magnitude()) < 5.0
        assert np.linalg.norm(true[:3, 3] - pose[:3, 3]) < 0.1

    poses = {nanoseconds(one.header.stamp): one for one in heard.poses}
    assert len(set(poses) & set(live)) > 20
    for stamp in set(poses) & set(live):
        one = poses[stamp]
        place = one.pose.pose.position
        np.testing.assert_allclose([place.x, place.y, place.z], live[stamp][:3, 3])
        covariance = np.array(one.pose.covariance).reshape(6, 6)
        assert one.header.frame_id == "camera_optical" and (np.linalg.eigvalsh(covariance) > 0).all()
    clouds = {nanoseconds(one.header.stamp): one for one in heard.clouds}
    assert len(set(clouds) & set(live)) > 20
    kind = np.dtype({"names": ["xyz", "id"], "offsets": [0, 16], "formats": ["3f4", "i4"], "itemsize": 28})
    for stamp in set(clouds) & set(live):
        rows = np.frombuffer(bytes(clouds[stamp].data), kind)
        assert clouds[stamp].width == len(rows) >= 10 and rows["id"].min() >= 100
        in_object = (rows["xyz"] - plane.pose_at(stamp)[:3, 3]) @ plane.pose_at(stamp)[:3, :3]
        assert np.median(np.abs(in_object[:, 2])) < 0.1  # on the plane
    client.wait_until(lambda: heard.figure("live: state") == "tracking", "the status says that it tracks")
    assert float(heard.figure("live: latency p95 [ms]")) > 0

    # The picture goes blank: no pose, no points, and it says so.
    first = camera.send(blank=True)
    while not any(nanoseconds(one.header.stamp) >= first for one in heard.clouds):
        camera.send(blank=True)
        assert len(camera.stamps) < 500
    client.wait_until(lambda: heard.figure("live: lost, few_points"), "the status counts what is lost")
    assert all(one.width == 0 for one in heard.clouds if nanoseconds(one.header.stamp) >= first)
    assert max(heard.live) < first

    # Nothing after deactivate, and everything forgotten.
    assert client.transition(NAME, "deactivate")
    count = len(heard.clouds)
    for _ in range(5):
        camera.send()
    client.wait_until(lambda: heard.figure("state") == "inactive", "the status of an inactive node")
    assert len(heard.clouds) == count and max(heard.live) < first
    assert heard.figure("live: state") == "waiting" and heard.figure("live: pictures kept") == "0"


def test_a_reset_forgets_what_was_followed(client: Client, start):
    start()
    heard = Heard(client)
    camera = PlaneCamera(client)
    while len(heard.live) < 10:
        camera.send()
        assert len(camera.stamps) < 300, "no live poses: see the node's log"
    assert client.call(Trigger, f"{NAME}/reset", Trigger.Request()).success
    windows = len(heard.meshes)
    alone = [camera.send() for _ in range(3)]  # a window takes four
    while max(heard.live) <= alone[-1]:
        camera.send()
        assert len(camera.stamps) < 600, "not followed again: see the node's log"
    assert len(heard.meshes) > windows, "only from a window on"
    assert not set(heard.live) & set(alone)


def test_a_window_that_contradicts_what_was_seen_is_not_trusted(client: Client, start):
    node = start()
    heard = Heard(client)
    camera = PlaneCamera(client)
    while len(heard.live) < 10:
        camera.send()
        assert len(camera.stamps) < 300, "no live poses: see the node's log"
    assert heard.figure("poses withheld") in ("", "0")
    turned = []
    while "what the live lane saw in" not in node.text():
        turned.append(camera.send(first_pixel=TURNED))
        assert len(turned) < 300, node.text()
    assert "images is turned by 180 degrees (trusted up to 60)" in node.text()
    client.wait_until(lambda: int(heard.figure("poses withheld") or 0) >= 3, "the status counts them")
    sent = {
        nanoseconds(one.header.stamp): Rotation.from_quat(
            [one.transform.rotation.x, one.transform.rotation.y, one.transform.rotation.z, one.transform.rotation.w]
        )
        for message in heard.tf
        for one in message.transforms
        if one.child_frame_id == "robot_object_1"
    }
    for stamp, rotation in sent.items():
        true = Rotation.from_matrix(plane.pose_at(stamp)[:3, :3])
        assert np.degrees((true.inv() * rotation).magnitude()) < 1.0, "no transform from the wrong side"


def test_it_can_be_switched_off(client: Client, start):
    start(live=False)
    heard = Heard(client)
    camera = PlaneCamera(client)
    while len(heard.meshes) < 2:
        camera.send()
        assert len(camera.stamps) < 300, "no windows: see the node's log"
    assert not heard.live and not heard.clouds and heard.figure("live: state") == ""
    names = [name for name, _ in client.node.get_topic_names_and_types()]
    # Only this test's own subscriptions, nothing that publishes.
    assert not client.node.get_publishers_info_by_topic(f"/{NAME}/pose_live") and f"/{NAME}/mesh" in names
