"""Real DDS for tests: a node in its own process, a client here, and waiting on conditions with a deadline."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.context import Context
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image

DOMAIN = 40 + os.getpid() % 60
"""Chosen by process, so that tests that run side by side do not hear one another."""
RELIABLE = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
BEST_EFFORT = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
LATCHED_WINDOWS = QoSProfile(
    depth=10, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
TRANSITION_GOALS = {
    "configure": "inactive", "activate": "active", "deactivate": "inactive", "cleanup": "unconfigured",
    "shutdown": "finalized",
}  # fmt: skip
HEIGHT, WIDTH = 24, 32


def environment() -> dict[str, str]:
    """For every process of a test."""
    return os.environ | {
        "ROS_DOMAIN_ID": str(DOMAIN),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
    }


class NodeProcess:
    """``node_process.py`` running, or with ``real`` the node as it is installed; its log goes to a file."""

    def __init__(
        self,
        log: Path,
        *arguments: str,
        seconds: float = 0.0,
        real: bool = False,
        parameters: dict[str, Any] | None = None,
    ) -> None:
        made = [str(Path(__file__).parent / "node_process.py"), str(seconds)]
        command = [sys.executable, *(["-m", "attnchain_ros.node.main"] if real else made), "--ros-args"]
        for name, value in (parameters or {}).items():
            command += ["-p", f"{name}:={str(value).lower() if isinstance(value, bool) else value}"]
        self.log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [*command, *arguments], stdout=file, stderr=subprocess.STDOUT, env=environment(), start_new_session=True
            )

    def text(self) -> str:
        """The log so far."""
        return self.log.read_text(errors="replace")

    def end(self, number: int = signal.SIGINT, timeout_s: float = 30.0) -> int:
        """Send a signal and wait; returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout_s)

    def kill(self) -> None:
        """Make sure that it is gone."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)


class Client:
    """A node in the test's process that publishes frames and keeps what it hears."""

    def __init__(self, namespace: str = "") -> None:
        os.environ.update({key: environment()[key] for key in ("ROS_AUTOMATIC_DISCOVERY_RANGE",)})
        self.context = Context()
        self.context.init(domain_id=DOMAIN)
        self.node = rclpy.create_node("client", context=self.context, namespace=namespace)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.heard: dict[str, list[Any]] = {}

    def close(self) -> None:
        """Leave the graph."""
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.shutdown()

    def listen(self, topic: str, message_type: type[Any], profile: QoSProfile = RELIABLE) -> list[Any]:
        """Subscribe; returns the list that messages go to."""
        found = self.heard.setdefault(topic, [])
        self.node.create_subscription(message_type, topic, found.append, profile)
        return found

    def wait_until(self, condition: Callable[[], Any], what: str, timeout_s: float = 120.0) -> Any:
        """Spin until a condition holds."""
        end = time.monotonic() + timeout_s
        while not (found := condition()):
            if time.monotonic() > end:
                raise AssertionError(f"waited {timeout_s:g} s in vain: {what}")
            self.executor.spin_once(timeout_sec=0.02)
        return found

    def call(self, service_type: type[Any], name: str, request: Any, timeout_s: float = 120.0) -> Any:
        """Call a service and wait for its answer."""
        client = self.node.create_client(service_type, name)
        self.wait_until(client.service_is_ready, f"service {name}")
        future = client.call_async(request)
        self.wait_until(future.done, f"answer of {name}", timeout_s)
        self.node.destroy_client(client)
        return future.result()

    def ask(self, service_type: type[Any], name: str, request: Any) -> Any:
        """Call a service that changes nothing, again where no answer comes.

        A server that has not found the client yet drops its answer, which a client cannot see.
        """
        client = self.node.create_client(service_type, name)
        self.wait_until(client.service_is_ready, f"service {name}")
        found = self.wait_until(lambda: self._answer(client, request), f"answer of {name}")
        self.node.destroy_client(client)
        return found

    def transition(self, name: str, label: str) -> bool:
        """Ask a lifecycle node for a transition; whether it succeeded, by the state where no answer comes."""
        states = self.node.create_client(GetState, f"{name}/get_state")
        changes = self.node.create_client(ChangeState, f"{name}/change_state")
        self.wait_until(lambda: states.service_is_ready() and changes.service_is_ready(), f"services of {name}")
        # Its answer shows that both sides have found each other.
        self.wait_until(lambda: self._answer(states, GetState.Request()) is not None, f"state of {name}", 120.0)
        request = ChangeState.Request()
        request.transition.label = label
        future = changes.call_async(request)
        end = time.monotonic() + 30.0
        while not future.done() and time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.02)
        if future.done():
            succeeded = bool(future.result().success)
        else:
            now = self._answer(states, GetState.Request())
            succeeded = now is not None and now.current_state.label == TRANSITION_GOALS[label]
        self.node.destroy_client(states)
        self.node.destroy_client(changes)
        return succeeded

    def _answer(self, client: Any, request: Any, timeout_s: float = 2.0) -> Any:
        """The answer to one call, or None where none comes."""
        future = client.call_async(request)
        end = time.monotonic() + timeout_s
        while not future.done() and time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.02)
        if future.done():
            return future.result()
        client.remove_pending_request(future)
        return None


def image_message(
    stamp_ns: int, *, first_pixel: int = 0, frame_id: str = "camera_optical", size=(HEIGHT, WIDTH)
) -> Image:
    """A grey image whose first pixel can give the hand-made engine an order."""
    pixels = np.full((*size, 3), 90, np.uint8)
    pixels[0, 0] = first_pixel
    return _image(stamp_ns, pixels, "rgb8", frame_id)


def mask_message(stamp_ns: int, frame_id: str = "camera_optical", size=(HEIGHT, WIDTH)) -> Image:
    """A mask with a square in it."""
    pixels = np.zeros(size, np.uint8)
    pixels[6:18, 8:24] = 255
    return _image(stamp_ns, pixels, "mono8", frame_id)


def ids_message(stamp_ns: int, *ids: int, frame_id: str = "camera_optical") -> Image:
    """A mask of several objects, each a square in a place of its own by its id (1 to 4)."""
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    for one in ids:
        pixels[4:20, 8 * one - 8 : 8 * one - 2] = one
    return _image(stamp_ns, pixels, "mono8", frame_id)


def info_message(stamp_ns: int, intrinsics: np.ndarray, frame_id: str = "camera_optical") -> CameraInfo:
    """A pinhole camera."""
    message = CameraInfo(height=HEIGHT, width=WIDTH, distortion_model="plumb_bob", d=[0.0] * 5)
    message.k = intrinsics.astype(float).ravel()
    message.p = np.concatenate([intrinsics, np.zeros((3, 1))], axis=1).ravel()
    _stamp(message, stamp_ns, frame_id)
    return message


def _image(stamp_ns: int, pixels: np.ndarray, encoding: str, frame_id: str) -> Image:
    message = Image(height=pixels.shape[0], width=pixels.shape[1], encoding=encoding, step=pixels[0].nbytes)
    message.data = pixels.tobytes()
    _stamp(message, stamp_ns, frame_id)
    return message


def _stamp(message: Any, stamp_ns: int, frame_id: str) -> None:
    message.header.frame_id = frame_id
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)


class Camera:
    """Publishes image, mask and camera_info of the hand-made scene."""

    def __init__(self, client: Client, intrinsics: np.ndarray, profile: QoSProfile = BEST_EFFORT) -> None:
        self.client = client
        self.intrinsics = intrinsics
        # rclpy's own callback for subscribers that do not match calls a deprecated method of its logger.
        quiet = PublisherEventCallbacks(use_default_callbacks=False)
        self._images, self._masks, self._infos = (
            client.node.create_publisher(kind, topic, profile, event_callbacks=quiet)
            for kind, topic in ((Image, "image"), (Image, "mask"), (CameraInfo, "camera_info"))
        )

    def close(self) -> None:
        """Take the publishers away."""
        for publisher in (self._images, self._masks, self._infos):
            self.client.node.destroy_publisher(publisher)

    def wait_for_node(self, nodes: int = 1) -> None:
        """Until so many nodes subscribe to all three."""
        everything = (self._images, self._masks, self._infos)
        self.client.wait_until(
            lambda: all(publisher.get_subscription_count() >= nodes for publisher in everything), "the node subscribes"
        )

    def send(self, stamps_ns: Sequence[int], *, rate_hz: float = 200.0, mask_shift_ns: int = 0, **options: Any) -> None:
        """Publish frames at a rate; spins meanwhile."""
        for stamp in stamps_ns:
            due = time.monotonic() + 1 / rate_hz
            self._infos.publish(info_message(stamp, self.intrinsics))
            self._masks.publish(mask_message(stamp + mask_shift_ns))
            self._images.publish(image_message(stamp, **options))
            self.client.wait_until(lambda due=due: time.monotonic() >= due, "the next frame is due")
