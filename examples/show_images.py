#!/usr/bin/env python3
"""Draw the tracked points into the camera's images, with cv_bridge and OpenCV's window.

    python3 examples/show_images.py --ros-args \\
        -r image:=/camera/image_raw -r tracks_window:=/attnchain_node/tracks_window

Needs a ROS 2 distribution with ros-<distro>-cv-bridge, and an OpenCV that opens windows (python3-opencv).
"""

from __future__ import annotations

import sys
from typing import Any

import cv2
import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import Image

from attnchain_ros.msg import Tracks

try:
    from cv_bridge import CvBridge
except ImportError as error:
    sys.exit(f"this example needs cv_bridge ({error}): sudo apt install ros-$ROS_DISTRO-cv-bridge")


class TrackPainter(Node):
    """Keeps the last seconds of images; a window's tracks come when its last image is old already."""

    def __init__(self) -> None:
        super().__init__("track_painter")
        self.bridge = CvBridge()
        self.images: dict[tuple[int, int], np.ndarray] = {}
        latched = QoSProfile(depth=5, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.create_subscription(Image, "image", self.on_image, qos_profile_sensor_data)
        self.create_subscription(Tracks, "tracks_window", self.on_tracks, latched)

    def on_image(self, message: Image) -> None:
        """Remember an image by its stamp."""
        stamp = message.header.stamp.sec, message.header.stamp.nanosec
        self.images[stamp] = self.bridge.imgmsg_to_cv2(message, "bgr8")
        while len(self.images) > 300:
            del self.images[next(iter(self.images))]

    def on_tracks(self, message: Tracks) -> None:
        """Show every frame of a window whose image is still there."""
        for picture in painted(message, self.images):
            cv2.imshow("tracks", picture)
            cv2.waitKey(30)


def painted(message: Tracks, images: dict[tuple[int, int], np.ndarray]) -> list[np.ndarray]:
    """The images of a window with a dot at each point that is seen."""
    points = np.array(message.points_px, np.float32).reshape(message.frame_count, message.track_count, 2)
    seen = np.array(message.visible).reshape(message.frame_count, message.track_count) == Tracks.VISIBLE
    found = []
    for stamp, places, visible in zip(message.stamps, points, seen, strict=True):
        picture = images.get((stamp.sec, stamp.nanosec))
        if picture is None:
            continue
        picture = picture.copy()
        for x, y in places[visible & np.isfinite(places).all(axis=1)]:
            cv2.circle(picture, (round(float(x)), round(float(y))), 3, (0, 200, 255), -1)
        found.append(picture)
    return found


def main(arguments: Any = None) -> None:
    """Run until Ctrl-C."""
    rclpy.init(args=arguments)
    node = TrackPainter()
    try:
        rclpy.spin(node)
    except KeyboardInterrupt:
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
