"""What ``attnchain view --live`` hears from a node, over DDS."""

from __future__ import annotations

from collections.abc import Iterator

import hand_made
import numpy as np
import pytest

pytest.importorskip("rclpy")
from geometry_msgs.msg import PoseWithCovarianceStamped
from ros_harness import DOMAIN, LATCHED_WINDOWS, RELIABLE, Client
from sensor_msgs.msg import CameraInfo, Image

from attnchain_ros import wire
from attnchain_ros.camera.poses import invert_pose
from attnchain_ros.msg import AnimatedMesh, Tracks
from attnchain_ros.node.building import build
from attnchain_ros.node.viewing import LiveFeed
from attnchain_ros.view.footage import Footage

pytestmark = pytest.mark.ros
NAMES = wire.Names("camera", "object_1", 1)


@pytest.fixture
def client() -> Iterator[Client]:
    made = Client()
    try:
        yield made
    finally:
        made.close()


def test_windows_poses_and_images_of_a_node_become_footage(client: Client) -> None:
    node, result = client.node, hand_made.make_result(np.arange(4, dtype=np.int64) * 10**8 + 10**9)
    mesh = node.create_publisher(AnimatedMesh, "robot/attnchain_node/mesh", LATCHED_WINDOWS)
    tracks = node.create_publisher(Tracks, "robot/attnchain_node/tracks_window", LATCHED_WINDOWS)
    pose = node.create_publisher(PoseWithCovarianceStamped, "robot/attnchain_node/camera_pose", RELIABLE)
    image = node.create_publisher(Image, "robot/image", RELIABLE)
    info = node.create_publisher(CameraInfo, "robot/camera_info", RELIABLE)
    footage = Footage("live", most=100)
    options = {"node": "robot/attnchain_node", "image": "robot/image", "camera_info": "robot/camera_info"}
    with LiveFeed(footage, domain=DOMAIN, **options):  # type: ignore[arg-type]
        everyone = (mesh, tracks, pose, image, info)
        client.wait_until(lambda: all(item.get_subscription_count() for item in everyone), "it listens to all")
        mesh.publish(build("attnchain_ros/msg/AnimatedMesh", wire.mesh(result, NAMES)))
        tracks.publish(build("attnchain_ros/msg/Tracks", wire.tracks(result, result.tracks.points_px, NAMES)))
        for frame in range(4):
            pose.publish(build("geometry_msgs/msg/PoseWithCovarianceStamped", wire.camera_pose(result, frame, NAMES)))
        last = int(result.stamps_ns[3]), "camera"

        def whole() -> bool:
            # They are heard as best effort: what is sent before both sides know of one another is lost.
            info.publish(build("sensor_msgs/msg/CameraInfo", wire.camera_info(hand_made.INTRINSICS, (24, 32), *last)))
            picture = np.full((24, 32, 3), 43, np.uint8)
            image.publish(build("sensor_msgs/msg/Image", wire.image(picture, "rgb8", *last)))
            moment = footage.moment(3)
            return moment is not None and None not in (moment.points, moment.eye) and moment.image is not None

        client.wait_until(lambda: whole() and footage.lens is not None, "the last frame is whole")
        moment = footage.moment(3)
        assert moment is not None and moment.eye is not None and moment.image is not None and moment.points is not None
        assert moment.stamp_ns == int(result.stamps_ns[3]) and footage.span == (0, 4)
        np.testing.assert_allclose(moment.shape.vertices, result.vertices[3], atol=1e-6)
        np.testing.assert_allclose(moment.points.positions, result.tracks.points_object[3], atol=1e-6)
        pose_there = invert_pose(result.camera.camera_from_object[3])
        np.testing.assert_allclose(moment.eye.object_from_camera, pose_there, atol=1e-6)
        assert (moment.image == 43).all() and footage.lens is not None and footage.lens.size == (24, 32)
