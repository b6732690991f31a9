"""Clips from rosbag2 folders (sqlite3 or mcap, compressed too), without ROS: image, mask, depth and camera_info."""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rosbags.highlevel import AnyReader
from rosbags.interfaces import Connection

from ..errors import AttnChainError, FileFormatError, InputError, MaskError
from ..notes import Notes
from ..stream.camera import camera_numbers
from ..stream.decode import JPEG_MASKS, DecodedImage, decode_depth, decode_mask, decode_message, is_jpeg
from ..stream.frame import Calibration, DepthImage, Event, Frame, IdImage, MaskImage, NoMoreMasks, Refused
from ..stream.objects import ALL_OBJECTS, check_ids, one_object
from ..stream.source import FrameSource
from .bag_types import bag_types
from .images import BAG_ENDINGS

IMAGE_TYPE = "sensor_msgs/msg/Image"
COMPRESSED_TYPE = "sensor_msgs/msg/CompressedImage"
INFO_TYPE = "sensor_msgs/msg/CameraInfo"
_STORAGES = ("mcap", "sqlite3")
_HELD = 3
"""So many messages are held back to put neighbours in the wrong order right."""
_DEEPEST = 100
"""Brackets in brackets in metadata.yaml; recorders write two or three."""
_AHEAD_NS = 20_000_000
"""Stamps may go back by so much without being another pass of a loop."""


@dataclass(frozen=True)
class BagTopics:
    """Names of the topics that make a clip; None = there is none. ``compressed``: those of compressed images."""

    image: str
    mask: str | None = None
    depth: str | None = None
    camera_info: str | None = None
    compressed: frozenset[str] = frozenset()


def open_bag(path: Path, *names: str | None, mask_instance: int = 0) -> BagSource:
    """Open a rosbag2 folder as a clip; topics that are not named are found by type and name.

    Args:
        path: the folder.
        names: of the topics of image, mask, depth and camera_info, as for ``choose_topics``.
        mask_instance: value of the object's pixels in the masks, 0 = all that are not 0, ``ALL_OBJECTS`` = each value
            is an object's: masks come as ``IdImage`` then.
    Raises:
        FileFormatError: not readable, or no such topics (those that are there are listed with their types).
    """
    return BagSource(Path(path), *names, mask_instance=mask_instance)


def find_topics(path: Path, *names: str | None) -> BagTopics:
    """The topics of a bag that make a clip; ``names`` as for ``choose_topics``.

    Raises:
        FileFormatError: as for ``open_bag``.
    """
    with _open(Path(path)) as reader:
        return choose_topics(Path(path), reader.connections, *names)


class BagSource(FrameSource):
    """A bag as a stream: its images in the order of recording, each after the masks, depth images and calibrations
    that were stamped up to then, however late these were recorded.

    Attributes:
        topics: what it reads.
    """

    recorded = True

    def __init__(self, path: Path, *names: str | None, mask_instance: int = 0) -> None:
        """Find the topics and look for a first image."""
        self.path = path
        self.name = str(path)
        self.notes = Notes()
        self._mask_instance = mask_instance
        with _open(path) as reader:
            self.topics = choose_topics(path, reader.connections, *names)
            self._count = sum(item.msgcount for item in reader.connections if item.topic == self.topics.image)
            first = next(_messages(reader, self.topics.image), None)
            if first is None:
                raise FileFormatError(f"topic {self.topics.image} of {self.path} holds no messages")
            decoded = self._picture(first[0], 0)
        self._unstamped = _stamp(first[0]) == 0
        if self._unstamped:
            text = f"images of {path.name} have no stamps: the times at which messages were recorded are used instead"
            self.notes.tell("no_stamps", text)
        self.masked = self.topics.mask is not None or decoded.mask is not None
        self.topic = self.topics.image

    @property
    def count(self) -> int | None:
        """Number of images on the image topic."""
        return self._count

    def events(self) -> Iterator[Event]:
        """Decode one message after another.

        What cannot be decoded is told as ``Refused``.

        Raises:
            FileFormatError: the bag is damaged.
        """
        with ExitStack() as stack:
            reader = stack.enter_context(_open(self.path))
            sides = [
                _Side(stack.enter_context(_open(self.path)), topic, make, self._unstamped)
                for topic, make in (
                    (self.topics.camera_info, self._calibration),
                    (self.topics.mask, self._mask),
                    (self.topics.depth, self._depth),
                )
                if topic is not None
            ]
            told = False
            last = 0
            for number, (message, stamp) in enumerate(_in_order(_messages(reader, self.topics.image), self._unstamped)):
                for side in sides:
                    if stamp < last:
                        side.rewind(stamp, last)
                    yield from side.until(stamp)
                if not told and all(side.ended for side in sides if side.topic == self.topics.mask):
                    told = True
                    yield NoMoreMasks()
                last = stamp
                try:
                    decoded = self._picture(message, number)
                except InputError as error:
                    yield Refused(f"image refused: {error}", frame=True)
                    continue
                yield Frame(np.asarray(decoded.rgb), decoded.mask, stamp, frame_id=message.header.frame_id)

    def _picture(self, message: Any, number: int) -> DecodedImage:
        with _naming(f"bag {self.path}, {self.topics.image}, image {number}"):
            decoded = decode_message(message)
        if decoded.rgb is None:
            raise FileFormatError(
                f"topic {self.topics.image} of {self.path} holds {decoded.raw.dtype} values, wanted colour images"
            )
        return decoded

    def _mask(self, message: Any, stamp: int) -> MaskImage | IdImage:
        if self._mask_instance == ALL_OBJECTS:
            return IdImage(check_ids(decode_mask(message, ALL_OBJECTS)), stamp)
        if hasattr(message, "format") and is_jpeg(message.data):
            self.notes.tell("mask_jpeg", JPEG_MASKS)
        return MaskImage(self._object(decode_mask(message, self._mask_instance)), stamp)

    def _object(self, raw: np.ndarray) -> np.ndarray:
        return one_object(raw, self._mask_instance, f"topic {self.topics.mask} of {self.path}")

    def _depth(self, message: Any, stamp: int) -> DepthImage:
        return DepthImage(decode_depth(message), stamp, message.header.frame_id)

    def _calibration(self, message: Any, stamp: int) -> Calibration:
        return Calibration(camera_numbers(message), stamp)


def bag_messages(path: Path, kinds: Collection[str]) -> Iterator[tuple[str, str, Any]]:
    """Messages of some types, in the order of recording: topic, type and the message.

    Args:
        path: rosbag2 folder or file.
        kinds: full names of types, such as ``attnchain_ros/msg/AnimatedMesh``.
    Raises:
        FileFormatError: the bag cannot be read.
    """
    with _open(Path(path)) as reader:
        wanted = [item for item in reader.connections if item.msgtype in kinds]
        for connection, _, raw in reader.messages(wanted) if wanted else ():
            yield connection.topic, connection.msgtype, reader.deserialize(raw, connection.msgtype)


def choose_topics(
    path: Path,
    connections: list[Connection],
    image: str | None = None,
    mask: str | None = None,
    depth: str | None = None,
    camera_info: str | None = None,
) -> BagTopics:
    """Topics of a clip among a bag's connections.

    The name "none" leaves mask, depth or camera_info out. Without names: masks are image topics with ``mask`` or
    ``segment`` in their name, depth those with ``depth``, the image is the only one left (a raw topic is preferred to
    the same one compressed); camera_info is the one beside the image, or the only one.

    Raises:
        FileFormatError: a named topic is missing or of a wrong type, or the choice is not clear.
    """
    kinds = {item.topic: item.msgtype for item in connections if item.msgcount}
    listed = ", ".join(f"{topic} ({kinds[topic]})" for topic in sorted(kinds)) or "nothing"

    def named(name: str, *wanted: str) -> str:
        topic = name if name.startswith("/") else f"/{name}"
        if kinds.get(topic) not in wanted:
            raise FileFormatError(f"bag {path} has no topic {topic} of type {' or '.join(wanted)}; it holds {listed}")
        return topic

    pictures = [topic for topic in sorted(kinds) if kinds[topic] in (IMAGE_TYPE, COMPRESSED_TYPE)]
    masks = [topic for topic in pictures if "mask" in topic.lower() or "segment" in topic.lower()]
    depths = [topic for topic in pictures if "depth" in topic.lower() and kinds[topic] == IMAGE_TYPE]
    if image is not None:
        chosen = named(image, IMAGE_TYPE, COMPRESSED_TYPE)
    else:
        colour = [topic for topic in pictures if topic not in masks and "depth" not in topic.lower()]
        colour = [topic for topic in colour if topic.rpartition("/")[0] not in colour]
        if len(colour) != 1:
            what = "no image topic" if not colour else f"{len(colour)} image topics, name the one to use"
            raise FileFormatError(f"bag {path} has {what}; it holds {listed}")
        chosen = colour[0]

    def only(found: list[str], what: str) -> str | None:
        raw = [topic for topic in found if topic != chosen and topic.rpartition("/")[0] not in found]
        if len(raw) > 1:
            raise FileFormatError(f"bag {path} has {len(raw)} {what} topics, name the one to use; it holds {listed}")
        return raw[0] if raw else None

    def pick(name: str | None, found: list[str], what: str, *wanted: str) -> str | None:
        if name == "none":
            return None
        return only(found, what) if name is None else named(name, *wanted)

    infos = [topic for topic in sorted(kinds) if kinds[topic] == INFO_TYPE]
    base = chosen.removesuffix("/compressed").rpartition("/")[0]
    beside = [topic for topic in infos if topic == f"{base}/camera_info"]
    return BagTopics(
        image=chosen,
        mask=pick(mask, masks, "mask", IMAGE_TYPE, COMPRESSED_TYPE),
        depth=pick(depth, depths, "depth", IMAGE_TYPE),
        camera_info=pick(camera_info, beside or infos, "camera_info", INFO_TYPE),
        compressed=frozenset(topic for topic in pictures if kinds[topic] == COMPRESSED_TYPE),
    )


class _Side:
    """A topic that is read alongside the images, in the order of its stamps.

    It hands out what is stamped up to an image's own time and one message more, which shows that nothing for that image
    is missing. Where its stamps jump back, what follows belongs to images that come after a jump back too (``rewind``).
    """

    def __init__(
        self, reader: AnyReader, topic: str, make: Callable[[Any, int], Event], unstamped: bool = False
    ) -> None:
        self.topic = topic
        self._make = make
        self._newest = 0
        self._number = -1
        self._messages = _in_order(_messages(reader, topic), unstamped)
        self._following: Any = None
        self._stamp = 0
        self._advance()

    @property
    def ended(self) -> bool:
        """Nothing follows."""
        return self._following is None

    def until(self, stamp: int) -> Iterator[Event]:
        """What belongs before the image of this stamp."""
        while self._following is not None and self._newest <= stamp + _AHEAD_NS:
            own = self._stamp
            if 0 < own < self._newest - _AHEAD_NS:
                break
            self._newest = max(self._newest, own)
            try:
                made = self._make(self._following, own)
            except MaskError:
                raise
            except InputError as error:
                made = Refused(f"{self.topic}, message {self._number}: {error}")
            yield made
            self._advance()

    def rewind(self, stamp: int, before: int) -> None:
        """The images jumped back from ``before`` to ``stamp``: leave out what belongs to those before."""
        self._newest = 0
        while self._following is not None and self._stamp > (stamp + before) // 2:
            self._advance()

    def _advance(self) -> None:
        self._number += 1
        self._following, self._stamp = next(self._messages, (None, 0))


@contextmanager
def _open(path: Path) -> Iterator[AnyReader]:
    """An open reader; what rosbags raises becomes FileFormatError with the bag's name."""
    _check_nesting(path)
    try:
        with AnyReader(_files(path), default_typestore=bag_types()) as reader:
            yield reader
    except (AttnChainError, GeneratorExit, KeyboardInterrupt):
        raise
    # Damaged bags fail in as many ways as there are storages, YAML, compression and CDR readers below.
    except Exception as error:
        raise FileFormatError(
            f"bag {path} cannot be read: {type(error).__name__}: {error}; {_promise(path)}"
        ) from error


def _files(path: Path) -> list[Path]:
    """What the reader opens: the folder by its metadata.yaml, else the files in it."""
    if path.is_file() or (path / "metadata.yaml").is_file():
        return [path]
    return sorted(item for item in path.iterdir() if item.suffix in BAG_ENDINGS)


def _check_nesting(path: Path) -> None:
    """Refuse a metadata.yaml of brackets in brackets, for which YAML's readers take minutes before they give up.

    Raises:
        FileFormatError: it is nested deeper than any recorder writes.
    """
    described = path / "metadata.yaml"
    if not described.is_file():
        return
    depth = 0
    for bracket in re.finditer(rb"[\[\]{}]", described.read_bytes()):
        depth += 1 if bracket[0] in b"[{" else -1
        if depth > _DEEPEST:
            raise FileFormatError(
                f"bag {path} cannot be read: its metadata.yaml is damaged (brackets {depth} deep). Copy it again, or "
                "try 'ros2 bag reindex'"
            )


def _promise(path: Path) -> str:
    """What the metadata.yaml of a bag that cannot be read says of it, and what to do."""
    repair = "Copy it again if it was cut short, or try 'ros2 bag reindex'"
    try:
        information = yaml.safe_load((path / "metadata.yaml").read_text(encoding="utf-8"))[
            "rosbag2_bagfile_information"
        ]
        topics = [entry["topic_metadata"] for entry in information["topics_with_message_count"]]
        listed = ", ".join(sorted(f"{topic['name']} ({topic['type']})" for topic in topics))
        storage, compression = information["storage_identifier"], information.get("compression_format", "")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, yaml.YAMLError):
        return f"its metadata.yaml cannot be read either. {repair}"
    if storage not in _STORAGES:
        repair = f"It is stored as {storage!r}, wanted {' or '.join(_STORAGES)}: 'ros2 bag convert' writes one"
    elif compression not in ("", "zstd"):
        repair = f"It is compressed as {compression!r}, wanted zstd or nothing: 'ros2 bag convert' writes one"
    return f"its metadata.yaml names {listed or 'no topics'}. {repair}"


def _messages(reader: AnyReader, topic: str) -> Iterator[tuple[Any, int]]:
    """Messages of one topic and the times they were recorded."""
    for connection, time_ns, raw in reader.messages([item for item in reader.connections if item.topic == topic]):
        yield reader.deserialize(raw, connection.msgtype), time_ns


def _in_order(messages: Iterator[tuple[Any, int]], unstamped: bool) -> Iterator[tuple[Any, int]]:
    """Messages with their stamps, neighbours that were recorded in the wrong order put right.

    A step back to before what is still held is another pass, not a wrong order. Stamp 0 stays where it is.

    Args:
        messages: with the times at which they were recorded.
        unstamped: these times are the stamps.
    """
    held: list[tuple[int, int, Any]] = []
    for number, (message, time_ns) in enumerate(messages):
        stamp = time_ns if unstamped else _stamp(message)
        if held and (stamp == 0 or stamp <= held[0][0]):
            yield from ((one, own) for own, _, one in sorted(held))
            held = []
        heapq.heappush(held, (stamp, number, message))
        if len(held) > _HELD:
            own, _, one = heapq.heappop(held)
            yield one, own
    yield from ((one, own) for own, _, one in sorted(held))


def _stamp(message: Any) -> int:
    return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)


@contextmanager
def _naming(what: str) -> Iterator[None]:
    """Errors about input get told what of the bag they are about."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"{what}: {error}") from error
