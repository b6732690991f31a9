"""Clips from folders of images and video files, and the one door ``open_frames`` that also knows bags."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from ..errors import ConfigError, FileFormatError, MaskError, ShapeError
from ..notes import Notes
from ..stream.decode import from_opencv
from ..stream.frame import Event, Frame, NoMoreMasks
from ..stream.source import FrameSource

_LOG = logging.getLogger(__name__)
IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
VIDEO_ENDINGS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".gif", ".ogv")
DEFAULT_FPS = 30.0
"""Frames per second assumed for a folder of images."""
MASK_SUFFIX = "_mask"


def open_frames(
    path: Path, *, fps: float | None = None, masks: Path | None = None, image_topic: str | None = None
) -> FrameSource:
    """A clip from whatever ``path`` is: a folder of images, a video file or a rosbag2 folder.

    Args:
        path: file or folder.
        fps: frames per second; None = the container's (video) or 30 (folder). Bags have stamps of their own.
        masks: folder with one mask per image of the same name; only for folders of images.
        image_topic: topic of the images in a bag, None = found by type.
    Raises:
        FileFormatError: nothing there, or nothing in it that can be read.   ConfigError: an option that does not apply.
    """
    path = Path(path)
    if fps is not None and not 0 < fps <= 1e6:
        raise ConfigError(f"fps is {fps}, wanted a number above 0")
    if not path.exists():
        raise FileFormatError(f"{path} does not exist: give a folder of images, a video file or a rosbag2 folder")
    if is_bag(path):
        from .bags import open_bag

        if masks is not None or fps is not None:
            raise ConfigError(
                f"{path} is a bag: its masks and stamps come from its topics, leave out the masks and fps"
            )
        return open_bag(path, image_topic)
    if image_topic is not None:
        raise ConfigError(f"{path} is not a bag: leave out the topic")
    if path.is_dir():
        return ImageFolder(path, DEFAULT_FPS if fps is None else fps, masks)
    if masks is not None:
        raise ConfigError(f"{path} is a video: masks can be given for a folder of images (extract the frames first)")
    return VideoFile(path, fps)


def is_bag(path: Path) -> bool:
    """Whether ``path`` is a rosbag2 folder (one with a ``metadata.yaml``)."""
    return (Path(path) / "metadata.yaml").is_file()


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key that puts ``frame2`` before ``frame10``.

    >>> sorted(["f10.png", "f2.png", "f1.png"], key=natural_key)
    ['f1.png', 'f2.png', 'f10.png']
    """
    parts = re.split(r"(\d+)", name.lower())
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts if part]


def stamps_from_fps(count: int, fps: float) -> np.ndarray:
    """[count] int64 nanoseconds of frames at a constant rate, the first one at 0.

    >>> stamps_from_fps(3, 30.0).tolist()
    [0, 33333333, 66666667]
    """
    return np.asarray(np.rint(np.arange(count) * (1e9 / fps)), np.int64)


def read_image(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """One image file: [H, W, 3] uint8 RGB and the [H, W] bool mask of its alpha channel, if it has one.

    Raises:
        FileFormatError: cannot be read as an image.
    """
    # Only the colour reader honours the orientation that phones write into JPEG files; these have no alpha.
    flag = cv2.IMREAD_COLOR if path.suffix.lower() in (".jpg", ".jpeg") else cv2.IMREAD_UNCHANGED
    picture = cv2.imread(str(path), flag)
    if picture is None:
        raise FileFormatError(f"{path} cannot be read as an image: it is damaged or not what its name says")
    if picture.ndim == 2 and picture.dtype == np.uint16:
        picture = (np.asarray(picture, np.uint16) >> 8).astype(np.uint8)
    decoded = from_opencv(picture)
    if decoded.rgb is None:
        raise FileFormatError(f"{path} has {picture.dtype} values: save it with 8 or 16 bits a channel")
    return decoded.rgb, decoded.mask


def read_mask(path: Path) -> np.ndarray:
    """One mask file as [H, W] bool.

    Values up to 64 are taken as object ids (anything but 0 is object); above, values from half of the largest
    one up are object, which also cuts soft edges in the middle. Of a picture with alpha only the alpha counts.

    Raises:
        FileFormatError: cannot be read as an image.
    """
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise FileFormatError(f"mask {path} cannot be read as an image")
    if picture.ndim == 3:
        has_alpha = picture.shape[2] == 4 and bool((picture[..., 3] != picture[0, 0, 3]).any())
        picture = picture[..., 3] if has_alpha else picture[..., :3].max(axis=2)
    top = int(picture.max())
    return np.asarray(picture != 0 if top <= 64 else picture >= top / 2)


class ImageFolder(FrameSource):
    """Images of one folder in natural order.

    Masks, the first of these that exists: the folder given; the alpha channel; a folder ``masks`` in or beside this
    one; files ``NAME_mask.png`` between the images. A mask that is missing for some images only is an error.
    """

    def __init__(self, folder: Path, fps: float = DEFAULT_FPS, masks: Path | None = None) -> None:
        """List the images.

        Raises:
            FileFormatError: no images in the folder.   MaskError: some images have no mask file.
        """
        names = sorted((item for item in folder.iterdir() if item.suffix.lower() in IMAGE_ENDINGS), key=_key)
        if masks is not None and not masks.is_dir():
            raise MaskError(f"the mask folder {masks} does not exist")
        self.files = [item for item in names if not item.stem.endswith(MASK_SUFFIX)]
        if not self.files:
            raise FileFormatError(f"{folder} holds no images: wanted files ending in {', '.join(IMAGE_ENDINGS)}")
        self.name = str(folder)
        self.notes = Notes()
        self._stamps = stamps_from_fps(len(self.files), fps)
        self._masks = self._mask_files(folder, masks)
        self.masked = self._masks is not None or read_image(self.files[0])[1] is not None

    @property
    def count(self) -> int | None:
        """Number of images."""
        return len(self.files)

    def events(self) -> Iterator[Event]:
        """Read one image after another.

        Raises:
            FileFormatError, MaskError: a file cannot be read, a mask is of another size than its image, or an image
                is of another size than the first or lacks the alpha channel that the first one has.
        """
        yield NoMoreMasks()
        size: tuple[int, ...] = ()
        for number, path in enumerate(self.files):
            image, mask = read_image(path)
            if self._masks is not None:
                mask = read_mask(self._masks[number])
                if mask.shape != image.shape[:2]:
                    raise MaskError(
                        f"mask {self._masks[number]} is {mask.shape[1]}x{mask.shape[0]}, its image is "
                        f"{image.shape[1]}x{image.shape[0]}: give masks of the image's size"
                    )
            elif mask is None and self.masked:
                raise MaskError(f"{path} has no alpha channel, but the images before it have one: give masks for all")
            if number and image.shape != size:
                raise ShapeError(
                    f"frame {number} is {image.shape[1]}x{image.shape[0]}, the first one is {size[1]}x{size[0]}: "
                    "all frames of a clip must be of one size"
                )
            size = image.shape
            yield Frame(image, mask if self.masked else None, int(self._stamps[number]))

    def _mask_files(self, folder: Path, given: Path | None) -> list[Path] | None:
        """One mask file per image, or None where the alpha channel (or nothing) is to be used."""
        if given is None and read_image(self.files[0])[1] is not None:
            return None
        for place in [given] if given is not None else [folder / "masks", folder.parent / "masks"]:
            if place is not None and place.is_dir() and place.resolve() != folder.resolve():
                found = {item.stem: item for item in sorted(place.iterdir()) if item.suffix.lower() in IMAGE_ENDINGS}
                return self._complete(
                    [found.get(item.stem) or found.get(item.stem + MASK_SUFFIX) for item in self.files], place
                )
        beside = [item.with_name(item.stem + MASK_SUFFIX + ".png") for item in self.files]
        if any(item.is_file() for item in beside):
            return self._complete([item if item.is_file() else None for item in beside], folder)
        return None

    def _complete(self, found: list[Path | None], place: Path) -> list[Path]:
        missing = [path.name for path, mask in zip(self.files, found, strict=True) if mask is None]
        if missing:
            raise MaskError(
                f"{len(missing)} of {len(self.files)} images have no mask in {place}, the first is {missing[0]}: "
                "give one mask per image with the image's name"
            )
        return [mask for mask in found if mask is not None]


class VideoFile(FrameSource):
    """A video file, decoded by OpenCV; it has no masks of its own."""

    def __init__(self, path: Path, fps: float | None = None) -> None:
        """Open the file once to see that it can be decoded.

        Raises:
            FileFormatError: OpenCV cannot open it, or its first frame cannot be decoded.
        """
        self.name = str(path)
        self.notes = Notes()
        self._path = path
        capture = self._open()
        try:
            own = float(capture.get(cv2.CAP_PROP_FPS))
            frames = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
            decodes, _ = capture.read()
        finally:
            capture.release()
        if not decodes:
            raise FileFormatError(
                f"{path} opens, but its first frame cannot be decoded: convert it, for example to H.264 MP4"
            )
        self._frames = frames if frames > 0 else None
        if fps is None and not 0 < own < 1000:
            self.notes.tell(
                "rate_assumed", f"{path.name} does not say its frame rate: {DEFAULT_FPS:g} frames per second assumed"
            )
            own = DEFAULT_FPS
        self.fps = own if fps is None else fps

    @property
    def count(self) -> int | None:
        """Number of frames the container promises; decoding may give a few more or less."""
        return self._frames

    def events(self) -> Iterator[Frame]:
        """Decode one frame after another, stamped by number and frame rate."""
        capture = self._open()
        try:
            number = 0
            while True:
                good, picture = capture.read()
                if not good:
                    break
                yield Frame(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), None, round(number * 1e9 / self.fps))
                number += 1
        finally:
            capture.release()
        if self._frames is not None and number < self._frames:
            text = f"{self._path.name}: {number} of the {self._frames} frames that the file promises could be decoded"
            if self.notes.tell("video_short", text):
                _LOG.info(text)

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(str(self._path))
        if not capture.isOpened():
            kind = "" if self._path.suffix.lower() in VIDEO_ENDINGS else " (its ending is none of a known video format)"
            raise FileFormatError(
                f"{self._path} cannot be opened as a video{kind}: convert it, for example to H.264 MP4, or extract its "
                "frames into a folder"
            )
        return capture


def _key(path: Path) -> list[tuple[int, int, str]]:
    return natural_key(path.name)
