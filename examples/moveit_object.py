#!/usr/bin/env python3
"""Keep the newest mesh as a collision object in MoveIt's planning scene.

python3 examples/moveit_object.py --ros-args -r object_mesh:=/attnchain_node/object_mesh -p object_frame:=object_1

shape_msgs/Mesh has no header: its vertices are in the object's TF frame, metres where depth or a size was given.
"""

from __future__ import annotations

from typing import Any

import rclpy
from geometry_msgs.msg import Pose
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

try:
    from moveit_msgs.msg import CollisionObject
    from shape_msgs.msg import Mesh
except ImportError as error:
    raise SystemExit(f"{error}: sudo apt install ros-$ROS_DISTRO-moveit-msgs ros-$ROS_DISTRO-shape-msgs") from error


def collision_object(mesh: Mesh, frame_id: str, name: str) -> CollisionObject:
    """The object at the origin of its own frame; one of the same name is replaced by it."""
    found = CollisionObject(id=name, operation=CollisionObject.ADD)
    found.header.frame_id = frame_id  # no stamp: where the object is now
    found.pose.orientation.w = 1.0
    found.meshes.append(mesh)
    origin = Pose()
    origin.orientation.w = 1.0
    found.mesh_poses.append(origin)
    return found


class MoveItObject(Node):
    """Hands every mesh on to MoveIt, which listens to /collision_object."""

    def __init__(self) -> None:
        super().__init__("moveit_object")
        self._frame = str(self.declare_parameter("object_frame", "object_1").value)
        self._objects = self.create_publisher(CollisionObject, "/collision_object", 10)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.create_subscription(Mesh, "object_mesh", self.on_mesh, latched)

    def on_mesh(self, message: Mesh) -> None:
        """Replace the object."""
        self._objects.publish(collision_object(message, self._frame, self._frame))
        self.get_logger().info(f"{self._frame}: {len(message.vertices)} vertices, {len(message.triangles)} triangles")


def main(arguments: Any = None) -> None:
    """Run until Ctrl-C."""
    rclpy.init(args=arguments)
    node = MoveItObject()
    try:
        rclpy.spin(node)
    except KeyboardInterrupt:
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
