"""Clips from folders of images, and the one door ``open_frames`` that also knows videos and bags."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from ..errors import ConfigError, FileFormatError, MaskError, ShapeError
from ..notes import Notes
from ..stream.decode import JPEG_MASKS, from_opencv, is_jpeg, threshold_mask
from ..stream.frame import Event, Frame, IdImage, NoMoreMasks
from ..stream.objects import ALL_OBJECTS, check_ids, one_object
from ..stream.source import FrameSource
from .videos import DEFAULT_FPS, VideoFile

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
BAG_ENDINGS = (".mcap", ".db3")
_PATTERN = re.compile(r"%(?:0(\d+))?d")
"""Where the number stands in names of images, as C's printf writes them."""
MASK_SUFFIX = "_mask"
OUR_FILES = ("contact_sheet.png",)
"""Pictures among a run's results, which are no frames of a clip."""


@dataclass(frozen=True)
class ClipOptions:
    """What is said about a clip besides its place.

    Attributes:
        fps: frames per second; None = the container's times (video) or 30 (folder). Bags have stamps of their own.
        masks: folder or video with one mask per image; in a folder of images the names are compared first.
        instance: id of the object in the masks; 0 = they hold one object; ``ALL_OBJECTS`` = each value is an object's:
            masks come as ``IdImage`` then.
        topics: of image, mask, depth and camera_info in a bag; None = found by type and name, "none" = not used.
    """

    fps: float | None = None
    masks: Path | None = None
    instance: int = 0
    topics: tuple[str | None, str | None, str | None, str | None] = (None, None, None, None)


def open_frames(path: Path, options: ClipOptions = ClipOptions()) -> FrameSource:
    """A clip from whatever ``path`` is: a folder of images, a video file, or a rosbag2 folder or file.

    Images of a folder that holds others, too, are named by their numbers: ``folder/frame_%04d.png``.

    Raises:
        FileFormatError: nothing there, or nothing in it that can be read.   ConfigError: an option that does not apply.
    """
    path = Path(path)
    fps, masks = options.fps, options.masks
    if fps is not None and not 0 < fps <= 1e6:
        raise ConfigError(f"fps is {fps}, wanted a number above 0")
    numbered = _PATTERN.search(path.name) is not None and not path.exists()
    if not path.exists() and not (numbered and path.parent.is_dir()):
        raise FileFormatError(f"{path} does not exist: give a folder of images, a video file or a rosbag2 folder")
    if is_bag(path):
        from .bags import open_bag

        if fps is not None:
            raise ConfigError(f"{path} is a bag: its stamps come from its topics, leave out fps")
        bag = open_bag(path, *options.topics, mask_instance=options.instance)
        return bag if masks is None else _masked(bag, options)
    if any(topic is not None for topic in options.topics):
        raise ConfigError(f"{path} is not a bag: leave out the topics")
    if path.is_dir() or numbered:
        rate = DEFAULT_FPS if fps is None else fps
        folder, names = (path.parent, path.name) if numbered else (path, None)
        return ImageFolder(folder, rate, masks, options.instance, names)
    if path.suffix.lower() in IMAGE_ENDINGS:
        several = re.sub(r"\d+(?=\D*$)", lambda found: f"%0{len(found[0])}d" if len(found[0]) > 1 else "%d", path.stem)
        raise FileFormatError(
            f"{path} is one image: give its folder, or several by their numbers, such as {several}{path.suffix}"
        )
    video = VideoFile(path, fps)
    return video if masks is None else _masked(video, options)


def _masked(source: FrameSource, options: ClipOptions) -> FrameSource:
    from .masked import MaskedSource

    assert options.masks is not None
    return MaskedSource(source, options.masks, options.instance)


def is_bag(path: Path) -> bool:
    """Whether ``path`` is a rosbag2 folder, with or without its ``metadata.yaml``, or one of its files."""
    path = Path(path)
    if path.is_dir():
        return (path / "metadata.yaml").is_file() or any(item.suffix in BAG_ENDINGS for item in path.iterdir())
    return path.suffix in BAG_ENDINGS


def natural_key(name: str) -> list[tuple[int, float, str]]:
    """Sort key that compares numbers as numbers, decimals included: ``frame2`` before ``frame10``, 3.45 before 3.5.

    >>> sorted(["f10.png", "f2.png", "f1.png"], key=natural_key)
    ['f1.png', 'f2.png', 'f10.png']
    >>> sorted(["1700000000.5.png", "1700000000.45.png"], key=natural_key)
    ['1700000000.45.png', '1700000000.5.png']
    """
    parts = re.split(r"(\d+(?:\.\d+)?)", name.lower())
    return [(1, float(part), "") if part[0].isdigit() else (0, 0.0, part) for part in parts if part]


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
    picture = _picture(path, str(path))
    if picture.ndim == 2 and picture.dtype == np.uint16:
        picture = (np.asarray(picture, np.uint16) >> 8).astype(np.uint8)
    decoded = from_opencv(picture)
    if decoded.rgb is None:
        raise FileFormatError(f"{path} has {picture.dtype} values: save it with 8 or 16 bits a channel")
    return decoded.rgb, decoded.mask


def jpeg_file(path: Path) -> bool:
    """Whether a file is a JPEG, whatever its name says; not if it cannot be read."""
    try:
        with path.open("rb") as file:
            return is_jpeg(file.read(3))
    except OSError:
        return False


def _picture(path: Path, what: str) -> np.ndarray:
    """An image file as OpenCV gives it, turned as its EXIF asks for.

    Raises:
        FileFormatError: cannot be read as an image; ``what``: its name there.
    """
    try:
        # A JPEG has no alpha, but kinds of colour that only the colour reader knows; that one turns by itself.
        if jpeg_file(path):
            picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        else:
            picture, kinds, blocks = cv2.imreadWithMetadata(str(path), flags=cv2.IMREAD_UNCHANGED)
            if picture is not None:
                picture = upright(picture, _orientation(dict(zip(np.ravel(kinds).tolist(), blocks, strict=True))))
    # OpenCV raises where a header promises more pixels than it would ever read.
    except (cv2.error, MemoryError) as error:
        raise FileFormatError(f"{what} cannot be read as an image: {error}") from error
    if picture is None:
        raise FileFormatError(f"{what} cannot be read as an image: it is damaged or not what its name says")
    return np.asarray(picture)


def upright(picture: np.ndarray, orientation: int) -> np.ndarray:
    """A picture [H, W, ...] turned as EXIF's orientation (1 to 8) asks for."""
    turned = picture.swapaxes(0, 1) if orientation >= 5 else picture
    down = orientation in (3, 4, 7, 8)
    across = orientation in (2, 3, 6, 7)
    return np.ascontiguousarray(turned[:: -1 if down else 1, :: -1 if across else 1])


def _orientation(metadata: dict[int, np.ndarray]) -> int:
    """EXIF's orientation, 1 (as it is) where there is none or it cannot be read."""
    data = bytes(np.asarray(metadata.get(cv2.IMAGE_METADATA_EXIF, ()), np.uint8).ravel())
    data = data.removeprefix(b"Exif\0\0")
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"

    def number(place: int, size: int) -> int:
        return int.from_bytes(data[place : place + size], order)

    first = number(4, 4)
    for entry in range(number(first, 2)):
        place = first + 2 + 12 * entry
        if place + 12 > len(data):
            break
        if number(place, 2) == 0x0112:
            found = number(place + 8, 2)
            return found if 1 <= found <= 8 else 1
    return 1


def read_mask(path: Path, instance: int = 0) -> np.ndarray:
    """One mask file as [H, W] bool.

    Values up to 64 are taken as object ids; above, values from half of the largest one up are object, which also cuts
    soft edges in the middle, and what a JPEG blurs. Of a picture with alpha only the alpha counts.

    Args:
        path: of the file.
        instance: id of the object, 0 = there is only one.
    Raises:
        FileFormatError: cannot be read as an image, or a JPEG where an id is asked for.
        MaskError: it holds several objects and no id is given.
    """
    picture = _picture(path, f"mask {path}")
    if picture.ndim == 3:
        has_alpha = picture.shape[2] == 4 and bool((picture[..., 3] != picture[0, 0, 3]).any())
        picture = picture[..., 3] if has_alpha else picture[..., :3].max(axis=2)
    if jpeg_file(path):
        if instance:
            raise FileFormatError(f"mask {path} is a JPEG, which blurs ids: save masks as PNG")
        return threshold_mask(picture) > 0
    found = one_object(picture, instance, f"mask {path}")
    top = int(picture.max())
    return found if instance or top <= 64 else np.asarray(picture >= top / 2)


def read_ids(path: Path) -> np.ndarray:
    """One mask file of several objects: [H, W] of whole numbers, 0 = none, else the object's id.

    Raises:
        FileFormatError: cannot be read as an image, or a JPEG.   ShapeError: not one channel.
    """
    picture = _picture(path, f"mask {path}")
    if jpeg_file(path):
        raise FileFormatError(f"mask {path} is a JPEG, which blurs ids: save masks as PNG")
    try:
        return check_ids(picture)
    except ShapeError as error:
        raise ShapeError(f"mask {path}: {error}") from error


class ImageFolder(FrameSource):
    """Images of one folder in natural order.

    Masks, the first of these that exists: the folder given; a folder ``masks`` in or beside this one; files
    ``NAME_mask.png`` between the images; the alpha channel, unless all is opaque. A mask that is missing for some
    images only is an error.
    """

    def __init__(
        self,
        folder: Path,
        fps: float = DEFAULT_FPS,
        masks: Path | None = None,
        instance: int = 0,
        pattern: str | None = None,
    ) -> None:
        """List the images; ``instance`` as for ``read_mask``, ``pattern``: of their names, as ``frame_%04d.png``.

        Raises:
            FileFormatError: no images in the folder.   MaskError: some images have no mask file.
        """
        wanted = re.compile(".*" if pattern is None else _names_like(pattern), re.DOTALL)
        found = (item for item in folder.iterdir() if item.suffix.lower() in IMAGE_ENDINGS)
        names = sorted((item for item in found if wanted.fullmatch(item.name)), key=_key)
        if masks is not None and not masks.is_dir():
            raise MaskError(f"the mask folder {masks} does not exist")
        self.files = [item for item in names if not item.stem.endswith(MASK_SUFFIX) and item.name not in OUR_FILES]
        if not self.files:
            like = "" if pattern is None else f" with names like {pattern}"
            raise FileFormatError(f"{folder} holds no images{like}: wanted files ending in {', '.join(IMAGE_ENDINGS)}")
        self.name = str(folder if pattern is None else folder / pattern)
        self.notes = Notes()
        self._instance = instance
        self._stamps = stamps_from_fps(len(self.files), fps)
        self._masks = self._mask_files(folder, masks)
        if any(map(jpeg_file, self._masks or ())):
            self.notes.tell("mask_jpeg", JPEG_MASKS)
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
                several = self._instance == ALL_OBJECTS
                mask = read_ids(self._masks[number]) if several else read_mask(self._masks[number], self._instance)
                if mask.shape != image.shape[:2]:
                    raise MaskError(
                        f"mask {self._masks[number]} is {mask.shape[1]}x{mask.shape[0]}, its image is "
                        f"{image.shape[1]}x{image.shape[0]}: give masks of the image's size"
                    )
            elif (mask is None) == self.masked:
                has, others = ("no mask in its alpha channel", "have") if self.masked else ("an alpha channel", "lack")
                raise MaskError(f"{path} has {has}, but the images before it {others} one: give masks for all")
            if number and image.shape != size:
                raise ShapeError(
                    f"frame {number} is {image.shape[1]}x{image.shape[0]}, the first one is {size[1]}x{size[0]}: "
                    "all frames of a clip must be of one size"
                )
            size = image.shape
            if self._masks is not None and mask is not None and self._instance == ALL_OBJECTS:
                yield IdImage(mask, int(self._stamps[number]))
                mask = None
            yield Frame(image, mask, int(self._stamps[number]))

    def _mask_files(self, folder: Path, given: Path | None) -> list[Path] | None:
        """One mask file per image, or None where the alpha channel (or nothing) is to be used."""
        for place in [given] if given is not None else [folder / "masks", folder.parent / "masks"]:
            if place is not None and place.is_dir() and place.resolve() != folder.resolve():
                found = {item.stem: item for item in sorted(place.iterdir()) if item.suffix.lower() in IMAGE_ENDINGS}
                if not {item.stem.removesuffix(MASK_SUFFIX) for item in found.values()} & {f.stem for f in self.files}:
                    if len(found) == len(self.files):
                        text = f"masks in {place} have other names than the images: the n-th is taken for the n-th"
                        self.notes.tell("masks_by_order", text)
                        return sorted(found.values(), key=_key)
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


def _names_like(pattern: str) -> str:
    """The regular expression of names that printf makes of a pattern.

    >>> [bool(re.fullmatch(_names_like("f_%03d.png"), name)) for name in ("f_007.png", "f_1234.png", "f_7.png")]
    [True, True, False]
    """
    before, digits, after = _PATTERN.split(pattern, maxsplit=1)
    return rf"{re.escape(before)}\d{{{int(digits or 1)},}}{re.escape(after)}"


def _key(path: Path) -> list[tuple[int, float, str]]:
    return natural_key(path.name)
