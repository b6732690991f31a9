"""Clips from rosbag2 folders (sqlite3 or mcap, compressed too), without ROS: image, mask, depth and camera_info."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rosbags.highlevel import AnyReader
from rosbags.interfaces import Connection

from ..camera.intrinsics import Undistorter, camera_info_matrix
from ..errors import AttnChainError, FileFormatError, InputError, MaskError
from ..notes import Notes
from .bag_types import bag_types
from .decode import DecodedImage, decode_compressed, decode_image, depth_metres, instance_mask
from .frames import Frame, FrameSource, ImageKind, break_cause

_LOG = logging.getLogger(__name__)
IMAGE_TYPE = "sensor_msgs/msg/Image"
COMPRESSED_TYPE = "sensor_msgs/msg/CompressedImage"
INFO_TYPE = "sensor_msgs/msg/CameraInfo"
TOLERANCE_NS = 20_000_000
"""Largest difference between the stamps of an image and of its mask or depth."""
_STORAGES = ("mcap", "sqlite3")
MAX_GAP_S = 2.0
"""A longer time between two images starts a new chain, as in the node."""


@dataclass(frozen=True)
class BagTopics:
    """Names of the topics that make a clip; None = there is none. ``compressed``: those of compressed images."""

    image: str
    mask: str | None = None
    depth: str | None = None
    camera_info: str | None = None
    compressed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class BagCamera:
    """The camera of a bag.

    Attributes:
        frame_id: the optical frame that images name.
        intrinsics: [3, 3] K of the undistorted image; None = unknown.
        undistorter: removes the lens's distortion; None = nothing to remove.
    """

    frame_id: str
    intrinsics: np.ndarray | None = None
    undistorter: Undistorter | None = None

    def distort_points(self, points_px: np.ndarray) -> np.ndarray:
        """Pixels of the undistorted image as pixels of the image as recorded: [..., 2], NaN stays NaN."""
        return points_px if self.undistorter is None else self.undistorter.distort(points_px)


def open_bag(
    path: Path,
    *,
    image_topic: str | None = None,
    mask_topic: str | None = None,
    depth_topic: str | None = None,
    camera_info_topic: str | None = None,
    mask_instance: int = 0,
    max_gap_s: float = MAX_GAP_S,
) -> BagSource:
    """Open a rosbag2 folder as a clip; topics that are not named are found by type and name.

    Args:
        path: the folder.
        image_topic, mask_topic, depth_topic, camera_info_topic: names, with or without the leading slash.
        mask_instance: value of the object's pixels in the masks, 0 = all that are not 0.
        max_gap_s: a longer time between two images starts a new chain, 0 = never.
    Raises:
        FileFormatError: not readable, or no such topics (those that are there are listed with their types).
    """
    names = (image_topic, mask_topic, depth_topic, camera_info_topic)
    return BagSource(Path(path), names, mask_instance, max_gap_s)


def find_topics(path: Path, *names: str | None) -> BagTopics:
    """The topics of a bag that make a clip; ``names`` as for ``choose_topics``.

    Raises:
        FileFormatError: as for ``open_bag``.
    """
    with _open(Path(path)) as reader:
        return choose_topics(Path(path), reader.connections, *names)


class BagSource(FrameSource):
    """Frames of a bag: every image with the mask and depth next to it in time (by header stamps).

    As in the node, an image with the stamp of the one before is left out, and a new chain begins where stamps go back
    (a loop), after a gap, and with another image size or frame id; ``notes`` tells. Lens distortion is removed from
    images, masks and depth.

    Attributes:
        cameras: of each chain, as far as it was read; the first is known at once.
    """

    def __init__(
        self,
        path: Path,
        names: tuple[str | None, str | None, str | None, str | None],
        mask_instance: int,
        max_gap_s: float = MAX_GAP_S,
    ) -> None:
        """Find the topics and read the first CameraInfo and the first image."""
        self.path = path
        self.name = str(path)
        self.notes = Notes()
        self.mask_instance = mask_instance
        self.max_gap_s = max_gap_s
        with _open(path) as reader:
            self.topics = choose_topics(path, reader.connections, *names)
            self._count = sum(item.msgcount for item in reader.connections if item.topic == self.topics.image)
            first = next(_messages(reader, self.topics.image), None)
            if first is None:
                raise FileFormatError(f"topic {self.topics.image} of {self.path} holds no messages")
            infos = self.topics.camera_info
            self._info = None if infos is None else next((found[0] for found in _messages(reader, infos)), None)
            decoded = _decode_named(first[0], self.topics.image, 0)
            self.cameras = [self._make_camera(first[0], decoded, self._info)]
        self.intrinsics = self.cameras[0].intrinsics

    @property
    def count(self) -> int | None:
        """Number of images on the image topic."""
        return self._count

    def __iter__(self) -> Iterator[Frame]:
        """Decode one image after another.

        Raises:
            InputError: a message cannot be decoded, or a mask or depth is of another size than its image.
        """
        last: ImageKind | None = None
        info = self._info
        chain = repeated = unmatched = 0
        names = (self.topics.mask, self.topics.depth, self.topics.camera_info)
        masks, depths, infos = companions = [_Companion(self.path, topic) for topic in names]
        try:
            with _open(self.path) as reader:
                for number, (message, time_ns) in enumerate(_messages(reader, self.topics.image)):
                    stamp = _stamp(message) or time_ns
                    if last is not None and stamp == last.stamp_ns:
                        repeated += 1
                        continue
                    decoded = self._decode(message, number)
                    now = ImageKind(stamp, np.shape(decoded.rgb), message.header.frame_id)
                    cause = None if last is None else break_cause(last, now, self.max_gap_s)
                    if last is not None and cause == "stamp_back":
                        for companion in companions:
                            companion.rewind(stamp, last.stamp_ns)
                    info = infos.nearest(stamp) or info
                    if cause is not None:
                        chain += 1
                        self.cameras[chain:] = [self._make_camera(message, decoded, info)]
                        self._tell("new_chain", f"image {number} starts a new chain ({cause})")
                    last = now
                    frame = self._frame(decoded, number, stamp, chain, masks, depths)
                    unmatched += frame.mask is None
                    yield frame
        finally:
            for companion in companions:
                companion.close()
        if repeated:
            text = f"{repeated} images of {self.path.name} with the stamp of the one before were left out"
            self._tell("repeated_stamp", text)
        if self.topics.mask is not None and unmatched:
            text = f"{unmatched} images have no mask on {self.topics.mask} within {TOLERANCE_NS / 1e6:g} ms"
            self._tell("no_mask", text)

    def intrinsics_of(self, chain: int) -> np.ndarray | None:
        """K of a chain's images."""
        return self.cameras[chain].intrinsics

    def _decode(self, message: Any, number: int) -> DecodedImage:
        decoded = _decode_named(message, self.topics.image, number)
        if decoded.rgb is None:
            raise FileFormatError(
                f"topic {self.topics.image} of {self.path} holds {decoded.raw.dtype} values, wanted colour images"
            )
        return decoded

    def _frame(
        self, decoded: DecodedImage, number: int, stamp: int, chain: int, masks: _Companion, depths: _Companion
    ) -> Frame:
        image, mask, depth = np.asarray(decoded.rgb), decoded.mask, None
        size = image.shape[:2]
        found = masks.nearest(stamp)
        if found is not None:
            raw = _decode_named(found, str(self.topics.mask), number).raw
            with _naming(f"{self.topics.mask}, image {number}"):
                mask = instance_mask(raw, self.mask_instance)
            self._check_size(mask, size, str(self.topics.mask), number)
        found = depths.nearest(stamp)
        if found is not None:
            raw = _decode_named(found, str(self.topics.depth), number).raw
            with _naming(f"{self.topics.depth}, image {number}"):
                depth = depth_metres(raw)
            self._check_size(depth, size, str(self.topics.depth), number)
        straight = self.cameras[chain].undistorter
        if straight is not None:
            image = straight.image(image)
            mask = None if mask is None else straight.mask(mask)
            depth = None if depth is None else straight.depth(depth)
        return Frame(image, mask, stamp, depth, chain)

    def _check_size(self, array: np.ndarray, size: tuple[int, ...], topic: str, number: int) -> None:
        if array.shape != size:
            raise MaskError(
                f"image {number} is {size[1]}x{size[0]}, the message on {topic} is {array.shape[1]}x{array.shape[0]}: "
                "record both at one size"
            )

    def _make_camera(self, message: Any, decoded: DecodedImage, numbers: Any) -> BagCamera:
        """A CameraInfo (None = there is none) fitted to a chain's first image."""
        frame_id = message.header.frame_id
        if numbers is None:
            self._tell("camera_info_missing", f"{self.path.name} has no camera_info: the focal length is assumed")
            return BagCamera(frame_id)
        roi, binning = numbers.roi, (int(numbers.binning_x), int(numbers.binning_y))
        with _naming(str(self.topics.camera_info)):
            matrix = camera_info_matrix(np.asarray(numbers.k), None, (int(roi.x_offset), int(roi.y_offset)), binning)
        if matrix is None:
            text = f"the camera_info of {self.path.name} is not calibrated (K[0] = 0): the focal length is assumed"
            self._tell("camera_uncalibrated", text)
            return BagCamera(frame_id)
        size = decoded.raw.shape[:2] if decoded.rgb is None else decoded.rgb.shape[:2]
        told = (
            (int(roi.height) or int(numbers.height)) // max(1, binning[1]),
            (int(roi.width) or int(numbers.width)) // max(1, binning[0]),
        )
        if told != size:
            raise InputError(
                f"{self.topics.camera_info} is for {told[1]}x{told[0]} pixels, the images on {self.topics.image} are "
                f"{size[1]}x{size[0]}: record the camera_info that belongs to the images"
            )
        with _naming(str(self.topics.camera_info)):
            undistorter = Undistorter(matrix, np.asarray(numbers.d), numbers.distortion_model, (size[0], size[1]))
        if not undistorter.active:
            return BagCamera(frame_id, matrix)
        return BagCamera(frame_id, undistorter.K, undistorter)

    def _tell(self, code: str, text: str) -> None:
        if self.notes.tell(code, text):
            _LOG.info(text)


def choose_topics(
    path: Path,
    connections: list[Connection],
    image: str | None = None,
    mask: str | None = None,
    depth: str | None = None,
    camera_info: str | None = None,
) -> BagTopics:
    """Topics of a clip among a bag's connections.

    Without names: masks are image topics with ``mask`` or ``segment`` in their name, depth those with ``depth``, the
    image is the only one left (a raw topic is preferred to the same one compressed); camera_info is the one beside
    the image, or the only one.

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

    infos = [topic for topic in sorted(kinds) if kinds[topic] == INFO_TYPE]
    base = chosen.removesuffix("/compressed").rpartition("/")[0]
    beside = [topic for topic in infos if topic == f"{base}/camera_info"]
    return BagTopics(
        image=chosen,
        mask=named(mask, IMAGE_TYPE, COMPRESSED_TYPE) if mask is not None else only(masks, "mask"),
        depth=named(depth, IMAGE_TYPE) if depth is not None else only(depths, "depth"),
        camera_info=named(camera_info, INFO_TYPE) if camera_info is not None else only(beside or infos, "camera_info"),
        compressed=frozenset(topic for topic in pictures if kinds[topic] == COMPRESSED_TYPE),
    )


class _Companion:
    """A topic read alongside the images; hands out the message nearest to a stamp. Holds a few messages only.

    Where its stamps jump back, what follows belongs to images that come after a jump back too (``rewind``). A message
    with stamp 0 belongs to every image.
    """

    def __init__(self, path: Path, topic: str | None) -> None:
        self._open = None if topic is None else _open(path)
        self._held: deque[tuple[int, Any]] = deque()
        self._always: Any = None
        self._newest = 0
        self._following: Any = None
        self._messages: Iterator[tuple[Any, int]] = iter(())
        if self._open is not None and topic is not None:
            self._messages = _messages(self._open.__enter__(), topic)
            self._advance()

    def nearest(self, stamp: int) -> Any:
        """The message within the tolerance that is nearest to ``stamp``, None without one; ask in rising order."""
        while self._following is not None and (not self._held or self._held[-1][0] <= stamp + TOLERANCE_NS):
            own = _stamp(self._following)
            if own == 0:
                self._always = self._following
            elif own < self._newest - TOLERANCE_NS:
                break
            else:
                self._held.append((own, self._following))
                self._newest = max(self._newest, own)
            self._advance()
        while self._held and self._held[0][0] < stamp - TOLERANCE_NS:
            self._held.popleft()
        near = [entry for entry in self._held if abs(entry[0] - stamp) <= TOLERANCE_NS]
        if not near:
            return self._always
        return min(near, key=lambda entry: abs(entry[0] - stamp))[1]

    def rewind(self, stamp: int, before: int) -> None:
        """The images jumped back from ``before`` to ``stamp``: leave out what belongs to those before."""
        self._held.clear()
        self._newest = 0
        while self._following is not None and _stamp(self._following) > (stamp + before) // 2:
            self._advance()

    def _advance(self) -> None:
        self._following = next(self._messages, (None, 0))[0]

    def close(self) -> None:
        """Close the bag."""
        if self._open is not None:
            self._open.__exit__(None, None, None)


@contextmanager
def _open(path: Path) -> Iterator[AnyReader]:
    """An open reader; what rosbags raises becomes FileFormatError with the bag's name."""
    try:
        with AnyReader([path], default_typestore=bag_types()) as reader:
            yield reader
    except (AttnChainError, GeneratorExit, KeyboardInterrupt):
        raise
    # Damaged bags fail in as many ways as there are storages, YAML, compression and CDR readers below.
    except Exception as error:
        raise FileFormatError(
            f"bag {path} cannot be read: {type(error).__name__}: {error}; {_promise(path)}"
        ) from error


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
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
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


def _stamp(message: Any) -> int:
    return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)


def _decode_named(message: Any, topic: str, number: int) -> DecodedImage:
    """Decode either image message; errors tell the topic and the number of the image."""
    with _naming(f"{topic}, image {number}"):
        if message.__msgtype__ == COMPRESSED_TYPE:
            return decode_compressed(message.format, message.data)
        big = bool(message.is_bigendian)
        return decode_image(
            message.encoding, int(message.height), int(message.width), int(message.step), big, message.data
        )


@contextmanager
def _naming(what: str) -> Iterator[None]:
    """Errors about input get told what of the bag they are about."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"{what}: {error}") from error
