#!/usr/bin/env python3
"""Read the tracked 3D points with sensor_msgs_py and say how many are seen and how far away they are.

    python3 examples/read_tracks.py --ros-args -r tracks:=/attnchain_node/tracks

Needs ros-<distro>-sensor-msgs-py.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import PointCloud2

try:
    from sensor_msgs_py import point_cloud2
except ImportError as error:
    sys.exit(f"this example needs sensor_msgs_py ({error}): sudo apt install ros-$ROS_DISTRO-sensor-msgs-py")


def describe(message: PointCloud2) -> str:
    """One line about a cloud: the same ids mean the same points until a reset."""
    rows = point_cloud2.read_points(message, field_names=("x", "y", "z", "id", "visibility"))
    seen = rows[rows["visibility"] == 1]
    distance = np.sqrt(sum(seen[axis].astype(np.float64) ** 2 for axis in "xyz"))
    stamp = message.header.stamp
    nearest = "nothing is seen" if not len(seen) else f"the nearest is point {seen['id'][distance.argmin()]}"
    return f"{stamp.sec}.{stamp.nanosec:09d}: {len(seen)} of {len(rows)} points are seen, {nearest}"


class TrackReader(Node):
    """Logs every cloud."""

    def __init__(self) -> None:
        super().__init__("track_reader")
        # A window's clouds come in one burst, hence the depth.
        self.create_subscription(PointCloud2, "tracks", self.on_tracks, QoSProfile(depth=100))

    def on_tracks(self, message: PointCloud2) -> None:
        """Log one cloud."""
        self.get_logger().info(describe(message))


def main(arguments: Any = None) -> None:
    """Run until Ctrl-C."""
    rclpy.init(args=arguments)
    node = TrackReader()
    try:
        rclpy.spin(node)
    except KeyboardInterrupt:
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
