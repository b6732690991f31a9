"""A camera as a process of its own, for benchmarks: ``python benchmarks/camera.py WIDTH HEIGHT reliable|best_effort``.

Publishes rgb8 images with their masks and camera_info on /image, /mask and /camera_info, serialised once and with new
stamps each time, because a driver in C++ costs next to nothing either. It is told what to do on standard input, a line
each: ``play HZ``, ``burst COUNT HZ``, ``pause``; it ends with its input. After ``pause`` and a burst it prints a JSON
line with the images published since the last one, how many of them came more than a period late, and how many the
middleware refused.
"""

from __future__ import annotations

import json
import queue
import struct
import sys
import threading
import time

import numpy as np
import rclpy
import scene
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, Image

PICTURES = 60
"""One period of the scene: with fewer the ball would go faster than anything that a live lane can follow."""
TOPICS = ("camera_info", "mask", "image")
"""In the order in which they are published."""
STAMP_AT = 4
"""Where a serialised message with a header has its stamp: behind the four bytes that name the encoding."""


class Camera:
    """The publishers and the pictures, which come again and again.

    Args:
        width, height: pixels.
        reliable: offer reliable instead of best-effort delivery.
    """

    def __init__(self, width: int, height: int, *, reliable: bool) -> None:
        self.node = rclpy.create_node("benchmark_camera")
        kind = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        profile = QoSProfile(depth=10, reliability=kind)
        types = {"camera_info": CameraInfo, "mask": Image, "image": Image}
        self._publishers = {name: self.node.create_publisher(types[name], name, profile) for name in TOPICS}
        self._pictures = [self._serialise(number, width, height) for number in range(PICTURES)]
        self._number = 0

    def _serialise(self, number: int, width: int, height: int) -> dict[str, bytearray]:
        image, mask = scene.draw_frame(number, height, width)
        info = CameraInfo(height=height, width=width, distortion_model="plumb_bob", d=[0.0] * 5)
        info.header.frame_id = scene.FRAME_ID
        info.k = np.array([width, 0, width / 2, 0, width, height / 2, 0, 0, 1], float)
        info.p = np.array([width, 0, width / 2, 0, 0, width, height / 2, 0, 0, 0, 1, 0], float)
        messages = (info, scene.image_message(mask * np.uint8(255), 0), scene.image_message(image, 0))
        return {name: bytearray(serialize_message(one)) for name, one in zip(TOPICS, messages, strict=True)}

    def publish(self) -> bool:
        """One frame, stamped now; False where the middleware did not take it in time (the machine is too busy)."""
        picture = self._pictures[self._number % PICTURES]
        self._number += 1
        stamp = struct.pack("<iI", *divmod(time.time_ns(), 10**9))
        for name in TOPICS:
            picture[name][STAMP_AT : STAMP_AT + len(stamp)] = stamp
            try:
                self._publishers[name].publish(bytes(picture[name]))
            except rclpy_implementation.RCLError:
                return False
        return True


def film(camera: Camera, orders: queue.SimpleQueue[str | None]) -> None:
    """Do what is ordered until the orders end (None)."""
    rate_hz, left = 0.0, 0
    count = late = refused = 0
    due = time.monotonic()
    while True:
        try:
            order = orders.get(timeout=max(0.0, due - time.monotonic())) if left else orders.get()
        except queue.Empty:
            order = ""
        if order is None:
            return
        if order:
            word, *numbers = order.split()
            if word == "pause":
                left = 0
                _report(count, late, refused)
                count = late = refused = 0
                continue
            rate_hz = float(numbers[-1])
            left = int(numbers[0]) if word == "burst" else -1
            due = time.monotonic()
        now = time.monotonic()
        if now < due:
            continue
        late += now > due + 1 / rate_hz
        refused += not camera.publish()
        count, left, due = count + 1, left - 1, due + 1 / rate_hz
        if left == 0:
            _report(count, late, refused)
            count = late = refused = 0


def _report(count: int, late: int, refused: int) -> None:
    sys.stdout.write(json.dumps({"published": count, "late": late, "refused": refused}) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Film until standard input ends."""
    width, height, reliability = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    rclpy.init(args=[])
    camera = Camera(width, height, reliable=reliability == "reliable")
    orders: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            orders.put(line.strip())
        orders.put(None)

    threading.Thread(target=listen, daemon=True).start()
    film(camera, orders)
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
