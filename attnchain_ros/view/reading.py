"""Footage from what lies on the disk: the folder of a run, a bag of results, and the images that belong to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..camera.poses import apply_pose, invert_pose
from ..errors import FileFormatError
from ..files.animation import keyframe_numbers, read_animated_glb
from ..files.arrays import read_arrays
from ..files.bags import bag_messages, find_topics
from ..files.images import is_bag
from ..files.results import read_summary
from ..stream.frame import Frame
from ..stream.source import FrameSource
from .footage import Eye, Footage, Points, Surface, track_colors
from .messages import IMAGES, INFO, MESH, POSE, TRACKS, MessageTaker

ANIMATION = "animation.glb"
_TRACKS = ("stamps_ns", "ids", "points_object", "visible", "confidence", "user_from_object", "scale")
_CAMERAS = ("intrinsics", "camera_from_object", "valid")


@dataclass(frozen=True)
class Choice:
    """What of a bag is shown: the object's number, None = the first one's; the image topic, None = found."""

    object_id: int | None = None
    image_topic: str | None = None


def read_footage(path: Path, choice: Choice = Choice()) -> Footage:
    """The folder of a run or a replay, or a bag of results.

    Raises:
        FileFormatError: neither, or damaged.
    """
    path = Path(path)
    if not path.exists():
        raise FileFormatError(f"{path} does not exist: give the --out folder of a run, or a bag of results")
    if path.is_dir() and (path / ANIMATION).is_file():
        return read_results(path)
    if is_bag(path):
        return read_bag(path, choice)
    raise FileFormatError(f"{path} holds no results: neither {ANIMATION}, as a run leaves, nor a bag")


def read_results(folder: Path) -> Footage:
    """What ``attnchain run`` and ``replay`` leave in a folder, in the frame and units of its animation.

    Raises:
        FileFormatError: a file is missing or damaged.
    """
    animation = read_animated_glb(folder / ANIMATION)
    tracks = read_arrays(folder / "tracks.npz", _TRACKS, ("confidence_frame",))
    cameras = read_arrays(folder / "cameras.npz", _CAMERAS)
    footage = Footage(str(folder))
    try:
        stamps = np.asarray(tracks["stamps_ns"], np.int64)
        shown = keyframe_numbers(len(stamps), len(animation.vertices) if len(animation.vertices) > 1 else None)
        if len(shown) != len(animation.vertices):
            raise FileFormatError(
                f"{folder}: {ANIMATION} has {len(animation.vertices)} frames and tracks.npz {len(stamps)}: they are of "
                "different runs"
            )
        confidence = tracks.get("confidence_frame", np.full(len(stamps), np.nan))
        surface = Surface(0, animation.faces, animation.vertex_colors)
        footage.add_window(stamps[shown], surface, animation.vertices, np.asarray(confidence, np.float32)[shown])
        footage.set_intrinsics(cameras["intrinsics"])
        placed = _file_from_object(tracks)
        colors = track_colors(tracks["ids"])
        for frame in shown.tolist():
            points = Points(
                np.asarray(apply_pose(placed, tracks["points_object"][frame].astype(np.float64)), np.float32), colors,
                tracks["visible"][frame], tracks["confidence"][frame],
            )  # fmt: skip
            footage.add_points(int(stamps[frame]), points)
            # Before the first good pose there is none to show, and the identity would be a lie.
            if cameras["valid"][: frame + 1].any():
                eye = _rigid(placed @ invert_pose(cameras["camera_from_object"][frame]))
                footage.add_eye(int(stamps[frame]), Eye(eye, bool(cameras["valid"][frame])))
    except (KeyError, IndexError, ValueError) as error:
        raise FileFormatError(f"{folder} holds no whole results: {type(error).__name__}: {error}") from error
    if len(shown) < len(stamps):
        footage.notes.tell("thinned", f"{len(shown)} of {len(stamps)} frames are in {ANIMATION}: the others have none")
    return footage


def read_bag(path: Path, choice: Choice = Choice()) -> Footage:
    """A bag that holds what the node publishes, with or without the camera's images.

    Raises:
        FileFormatError: it cannot be read, or holds no meshes.
    """
    footage = Footage(str(path))
    taker = MessageTaker(footage, choice.object_id)
    try:
        topics = find_topics(path, choice.image_topic, "none", "none")
        wanted = {topics.image, topics.camera_info}
    except FileFormatError as error:
        if choice.image_topic is not None:
            raise
        footage.notes.tell("no_images", f"no images: {error}")
        wanted = set()
    for topic, kind, message in bag_messages(path, (MESH, TRACKS, POSE, INFO, *IMAGES)):
        if kind in (MESH, TRACKS, POSE) or topic in wanted:
            taker.take(kind, message)
    if footage.span[1] == 0:
        raise FileFormatError(f"bag {path} holds no {MESH} of this object: give a bag of results, or record ~/mesh")
    return footage


def add_images(footage: Footage, source: FrameSource) -> int:
    """The images of a clip for the frames of the same stamps; of as many frames, whatever their stamps.

    Returns:
        how many frames got one.
    Raises:
        FileFormatError: an image cannot be read.
    """
    stamps = footage.stamps()
    wanted = set(stamps)
    by_order = source.count == len(stamps)
    found = 0
    for number, event in enumerate(item for item in source.events() if isinstance(item, Frame)):
        stamp = event.stamp_ns if event.stamp_ns in wanted else stamps[number] if by_order else None
        if stamp is None:
            if event.stamp_ns > stamps[-1]:
                break
            continue
        footage.add_image(stamp, event.image)
        found += 1
    return found


def add_images_of_run(footage: Footage, folder: Path, opened: Callable[[str], FrameSource]) -> None:
    """The images that a run was made from, where they still are; a note says why if not.

    Args:
        footage: of ``read_results``.   folder: of the run.
        opened: opens a clip by the name that the run's summary gives.
    """
    try:
        source = str(read_summary(folder)["source"])
        missing = "none has the stamp of a frame" if not add_images(footage, opened(source)) else ""
    except (FileFormatError, KeyError) as error:
        missing = str(error)
    if missing:
        footage.notes.tell("no_images", f"no images ({missing}): --images names the clip")


def _file_from_object(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """[4, 4] from the object's frame to the animation's, as ``WindowResult.file_from_object``."""
    user = np.asarray(arrays["user_from_object"], np.float64)
    if (user != np.eye(4)).any():
        return user
    scale = float(arrays["scale"][0])
    return np.diag([scale, scale, scale, 1.0])


def _rigid(similarity: np.ndarray) -> np.ndarray:
    """The pose in a similarity [4, 4]: its rotation without the scale."""
    pose = np.array(similarity, np.float64)
    pose[:3, :3] /= np.cbrt(np.linalg.det(pose[:3, :3]))
    return pose
