#!/usr/bin/env python3
"""Turn every animated mesh into a trimesh and write its last frame as mesh_<window>.ply.

python3 examples/read_mesh.py --ros-args -r mesh:=/attnchain_node/mesh
"""

from __future__ import annotations

from typing import Any

import numpy as np
import rclpy
import trimesh
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

from attnchain_ros.msg import AnimatedMesh


def frames_of(message: AnimatedMesh) -> list[trimesh.Trimesh]:
    """A mesh for every frame; triangles and colours are the same in all."""
    vertices = np.array(message.vertices, np.float32).reshape(message.frame_count, message.vertex_count, 3)
    faces = np.array(message.triangles, np.int64).reshape(-1, 3)
    colors = np.array(message.vertex_colors, np.uint8).reshape(-1, 3)
    # process=False: nothing is merged, so that vertex i stays vertex i from frame to frame.
    return [trimesh.Trimesh(frame, faces, vertex_colors=colors, process=False) for frame in vertices]


class MeshReader(Node):
    """Writes every window's last frame."""

    def __init__(self) -> None:
        super().__init__("mesh_reader")
        latched = QoSProfile(depth=5, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.create_subscription(AnimatedMesh, "mesh", self.on_mesh, latched)

    def on_mesh(self, message: AnimatedMesh) -> None:
        """Write one mesh."""
        last = frames_of(message)[-1]
        name = f"mesh_{message.window_index:05d}.ply"
        last.export(name)
        unit = "m" if message.metric else "object units"
        side = float(last.extents.max())
        self.get_logger().info(f"{name}: {len(last.vertices)} vertices, longest side {side:.3f} {unit}")


def main(arguments: Any = None) -> None:
    """Run until Ctrl-C."""
    rclpy.init(args=arguments)
    node = MeshReader()
    try:
        rclpy.spin(node)
    except KeyboardInterrupt:
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
