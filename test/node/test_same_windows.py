"""One recording gives the same windows as a bag to run, as a bag to replay, and over topics to the node."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from node.hand_made import HandMadeEngine, make_result
from node.ros_harness import DOMAIN, RELIABLE, Client, _image, info_message
from rclpy.context import Context
from rclpy.executors import MultiThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.serialization import serialize_message
from rosbags.rosbag2 import StoragePlugin, Writer
from sensor_msgs.msg import CameraInfo, Image

from attnchain_ros.cli.main import main
from attnchain_ros.files.bag_types import bag_types
from attnchain_ros.node.lifecycle import AttnChainNode
from attnchain_ros.rollout.pipeline import Rollout
from attnchain_ros.rollout.window import Window, WindowResult

pytestmark = pytest.mark.ros

START, STEP = 1_700_000_000 * 10**9, 50_000_000
SIZE = (24, 32)
Recorded = tuple[str, Any]


def picture(number: int, stamp: int, frame_id: str, size: tuple[int, int] = SIZE) -> list[Recorded]:
    """Mask and image of one frame, told apart by their values; the mask comes first, as from a fast segmenter."""
    pixels = np.full((*size, 3), 5 * number, np.uint8)
    pixels[:, number % size[1]] = 255
    mask = np.zeros(size, np.uint8)
    mask[4:16, 3 + number % 8 : 15 + number % 8] = 200
    return [("mask", _image(stamp, mask, "mono8", frame_id)), ("image", _image(stamp, pixels, "rgb8", frame_id))]


def camera(stamp: int, focal: float, size: tuple[int, int] = SIZE) -> Recorded:
    message = info_message(stamp, np.array([[focal, 0, 15.0], [0, focal, 12.0], [0, 0, 1]]))
    message.height, message.width = size
    message.d = [-0.2, 0.05, 0.0, 0.0, 0.0]
    return "camera_info", message


def depth(stamp: int, metres: float, size: tuple[int, int] = SIZE) -> Recorded:
    return "depth", _image(stamp, np.full(size, metres, np.float32), "32FC1", "cam0")


def recording() -> list[Recorded]:
    """What happens on robots: lost and wrong masks, wrong depth, a repeated image, one of a foreign encoding, a gap, a
    zoom, another camera mode and frame, a calibration that does not fit, and a player that starts again."""
    found = [camera(START, 50.0)]
    for number in range(12):
        stamp = START + number * STEP
        if number % 3 == 0:
            found.append(depth(stamp + 4_000_000, 2.0 + number, SIZE if number != 6 else (12, 16)))
        if number == 8:
            found.append(camera(stamp, 70.0))
        parts = picture(number, stamp, "cam0")
        if number == 2:
            parts = parts[1:]
        elif number == 4:
            parts[0] = ("mask", _image(stamp, np.ones((6, 8), np.uint8), "mono8", "cam0"))
        elif number == 5:
            parts[1][1].encoding = "bgr16"
        elif number == 7:
            parts.append(parts[1])
        found += parts
    gap = START + 12 * STEP + 3 * 10**9
    found += [part for number in range(5) for part in picture(20 + number, gap + number * STEP, "cam0")]
    mode = gap + 5 * STEP
    found.append(camera(mode, 100.0, (48, 64)))
    found += [part for number in range(3) for part in picture(30 + number, mode + number * STEP, "cam0", (48, 64))]
    found.append(camera(mode + 3 * STEP, 100.0, (48, 640)))
    found += [part for number in range(3, 8) for part in picture(30 + number, mode + number * STEP, "cam1", (48, 64))]
    found.append(camera(START, 55.0))
    found += [part for number in range(6) for part in picture(40 + number, START + number * STEP, "cam0")]
    return found


def write_bag(path: Path, messages: list[Recorded]) -> Path:
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        topics: dict[str, Any] = {}
        for number, (topic, message) in enumerate(messages):
            kind = "sensor_msgs/msg/CameraInfo" if topic == "camera_info" else "sensor_msgs/msg/Image"
            if topic not in topics:
                topics[topic] = writer.add_connection(f"/robot/{topic}", kind, typestore=bag_types())
            writer.write(topics[topic], START + number * 1000, serialize_message(message))
    return path


def by_command(verb: str, bag: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Window, bool]]:
    """The windows that the rollout is asked for, and before which of them it was reset."""
    found: list[tuple[Window, bool]] = []
    fresh = [False]

    def reset(self: Rollout) -> None:
        fresh[0] = True

    def run(self: Rollout, window: Window, *more: Any) -> WindowResult:
        found.append((window, fresh[0]))
        index = 0 if fresh[0] else len(found)
        fresh[0] = False
        return make_result(window.stamps_ns, index=index, shared_first=bool(index))

    monkeypatch.setattr(Rollout, "reset", reset)
    monkeypatch.setattr(Rollout, "run", run)
    words = ["--weights", str(weights), "--device", "cpu", "--set", "frames=4"]
    assert main([verb, str(bag), "--out", str(bag.parent / verb), *words]) == 0
    return found


class Remembering(HandMadeEngine):
    """Keeps before which windows it was reset."""

    def __init__(self, settings: Any, seconds: float = 0.0) -> None:
        super().__init__(settings, seconds)
        self.fresh: list[bool] = []

    def run(self, window: Window, *more: Any) -> WindowResult:
        """The true answer."""
        self.fresh.append(self._last_ns is None)
        return super().run(window, *more)


@pytest.fixture
def spinning() -> Iterator[tuple[AttnChainNode, list[Remembering]]]:
    context = Context()
    context.init(domain_id=DOMAIN)
    engines: list[Remembering] = []

    def engine(settings: Any) -> Remembering:
        engines.append(Remembering(settings))
        return engines[-1]

    options = {"autostart": False, "frames": 4, "queue_size": 16, "overflow_policy": "block", "watchdog_s": 0.0}
    overrides = [Parameter(name, value=value) for name, value in options.items()]
    node = AttnChainNode(engine, context=context, parameter_overrides=overrides)
    executor = MultiThreadedExecutor(num_threads=4, context=context)
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    yield node, engines
    node.end()
    executor.shutdown()
    thread.join(10)
    node.destroy_node()
    context.try_shutdown()


def over_topics(
    node: AttnChainNode, engines: list[Remembering], client: Client, messages: list[Recorded]
) -> list[tuple[Window, bool]]:
    """The same messages, one after another, over DDS."""
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    session = node.session
    assert session is not None
    taken: list[Any] = []
    take_in = session.streams.take_in

    def counting(event: Any) -> None:
        take_in(event)
        taken.append(event)

    session.streams.take_in = counting  # type: ignore[method-assign]
    kinds = {"image": Image, "mask": Image, "depth": Image, "camera_info": CameraInfo}
    senders = {topic: client.node.create_publisher(kind, topic, RELIABLE) for topic, kind in kinds.items()}
    client.wait_until(lambda: all(each.get_subscription_count() for each in senders.values()), "the node subscribes")
    for number, (topic, message) in enumerate(messages):
        senders[topic].publish(message)
        client.wait_until(lambda number=number: len(taken) > number, f"message {number} arrives")
    session.streams.close_idle()
    client.wait_until(lambda: sum(session.streams.accounts().dropped.values()) and not _left(node), "all are computed")
    (engine,) = engines
    return list(zip(engine.windows, engine.fresh, strict=True))


def _left(node: AttnChainNode) -> int:
    assert node.session is not None
    found = node.session.streams.accounts()
    return found.waiting + found.in_flight


def same(first: Window, second: Window) -> None:
    for name in ("stamps_ns", "images", "masks", "intrinsics", "depth_m"):
        one, other = getattr(first, name), getattr(second, name)
        assert (one is None) == (other is None), name
        if one is not None:
            np.testing.assert_array_equal(one, other, err_msg=name)


def test_run_replay_and_node_make_the_same_windows(
    tmp_path: Path,
    tiny_folder: Path,
    client: Client,
    spinning: tuple[AttnChainNode, list[Remembering]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    messages = recording()
    bag = write_bag(tmp_path / "bag", messages)
    run = by_command("run", bag, tiny_folder, monkeypatch)
    replay = by_command("replay", bag, tiny_folder, monkeypatch)
    topics = over_topics(*spinning, client, messages)
    # What is expected, by the numbers painted into the images: 2, 4 and 5 have no usable mask or picture.
    numbers = [[int(np.median(image[..., 0])) // 5 for image in window.images] for window, _ in run]
    assert numbers == [
        [0, 1, 3, 6], [6, 7], [8, 9, 10, 11],
        [20, 21, 22, 23], [23, 24],
        [30, 31, 32],
        [33, 34, 35, 36], [36, 37],
        [40, 41, 42, 43], [43, 44, 45],
    ]  # fmt: skip
    starts = [True, False, True, True, False, True, True, False, True, False]
    focals = [None if window.intrinsics is None else window.intrinsics[0, 0] for window, _ in run]
    assert focals == [50.0, 50.0, 70.0, 70.0, 70.0, 100.0, None, None, 55.0, 55.0]
    assert run[0][0].depth_m is not None and run[3][0].depth_m is None
    for found in (run, replay, topics):
        assert [fresh for _, fresh in found] == starts
        for (window, _), (wanted, _) in zip(found, run, strict=True):
            same(window, wanted)


def field_recording(spoilt: bool) -> list[Recorded]:
    """A camera whose mask is empty for three seconds, as it should be sent; ``spoilt``: as drivers and segmenters do.

    A lens of eight coefficients under the name of five, a stray pixel and a hole in a mask, depth seen from elsewhere.
    """
    _, lens = camera(START, 50.0)
    lens.distortion_model = "plumb_bob" if spoilt else "rational_polynomial"
    lens.d = [0.1, -0.05, 0.001, 0.0005, 0.01, 0.02, 0.0, 0.003]
    found: list[Recorded] = [("camera_info", lens)]
    for number in range(5 + 60 + 4):
        stamp = START + number * STEP
        (_, mask), image = picture(number % 40, stamp, "cam0")
        pixels = np.frombuffer(mask.data, np.uint8).reshape(SIZE).copy()
        if 5 <= number < 65:
            pixels[:] = 0
        elif spoilt and number in (2, 66):
            pixels[22, 30] = 200
            pixels[9, 11] = 0
        found += [("mask", _image(stamp, pixels, "mono8", "cam0")), image]
        if spoilt and number % 4 == 0:
            found.insert(-2, ("depth", _image(stamp, np.full(SIZE, 2.0, np.float32), "32FC1", "depth_optical")))
    return found


def test_what_the_field_sends_gives_the_windows_of_what_it_should_send(
    tmp_path: Path,
    tiny_folder: Path,
    client: Client,
    spinning: tuple[AttnChainNode, list[Remembering]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clean, messages = field_recording(False), field_recording(True)
    wanted = by_command("run", write_bag(tmp_path / "clean", clean), tiny_folder, monkeypatch)
    assert [window.frames for window, _ in wanted] == [4, 2, 4] and [fresh for _, fresh in wanted] == [1, 0, 1]
    assert wanted[2][0].stamps_ns[0] == START + 65 * STEP, "a new chain after three seconds without the object"
    assert all(window.intrinsics is not None and window.intrinsics[0, 0] == 50.0 for window, _ in wanted)
    bag = write_bag(tmp_path / "bag", messages)
    ways = {verb: by_command(verb, bag, tiny_folder, monkeypatch) for verb in ("run", "replay")}
    ways["node"] = over_topics(*spinning, client, messages)
    for name, found in ways.items():
        assert [fresh for _, fresh in found] == [fresh for _, fresh in wanted], name
        for (window, _), (expected, _) in zip(found, wanted, strict=True):
            same(window, expected)
