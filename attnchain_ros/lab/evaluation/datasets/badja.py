"""BADJA: joints of animals in DAVIS videos.

Layout (the published one, with DAVIS beside the annotations)::

    ROOT/joint_annotations/<animal>.json   a list of annotated frames, each with image_path, segmentation_path (relative
                                           to ROOT), joints [[y, x], ...] in pixels and visibility [0 or 1, ...]
    ROOT/DAVIS/JPEGImages/Full-Resolution/<video>/00000.jpg ...
    ROOT/DAVIS/Annotations/Full-Resolution/<video>/00000.png ...

Every few frames are annotated; the video is all pictures from the first annotated one to the last.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ....errors import FileFormatError
from ....files.images import IMAGE_ENDINGS, natural_key, read_image, read_mask
from .arrays import laid_out, list_files

_LAYOUT = "BADJA's folder with joint_annotations/<animal>.json and DAVIS beside it"
LEFT_OUT = ("cat_jump", "tiger")
"""Annotated, but their pictures are not published; nobody reports them."""
MARKED = (8, 9, 10, 12, 13, 14, 15, 18, 19, 20, 22, 23, 24, 25, 28, 31, 32, 33, 35, 36)
"""Which of the 37 joints of the animal model were annotated by hand."""
_MODEL_JOINTS = 37


@dataclass(frozen=True)
class BadjaVideo:
    """One video.

    Attributes:
        name: of the animal.
        images: [F, H, W, 3] uint8 RGB; masks: [F, H, W] bool.
        joints_px: [F, J, 2] float64 (x, y) pixels, 0 in frames without annotation.
        visible: [F, J] bool, False in frames without annotation.
    """

    name: str
    images: np.ndarray
    masks: np.ndarray
    joints_px: np.ndarray
    visible: np.ndarray


def list_videos(root: Path) -> list[Path]:
    """The annotation files, without those that the benchmark leaves out.

    Raises:
        FileFormatError: not of this layout.
    """
    return [path for path in list_files(root, "joint_annotations/*.json", _LAYOUT) if path.stem not in LEFT_OUT]


@laid_out
def read_video(path: Path) -> BadjaVideo:
    """The video of one annotation file.

    Raises:
        FileFormatError: a file is missing or not what the layout says.
    """
    root = path.parent.parent
    entries = _read_entries(path)
    annotated = {root / entry["image_path"]: entry for entry in entries}
    files = _video_files(list(annotated), path)
    joints = len(_joints(entries[0], path)[0])
    images, masks = [], []
    joints_px, visible = np.zeros((len(files), joints, 2)), np.zeros((len(files), joints), bool)
    segmentations = root / Path(entries[0]["segmentation_path"]).parent
    for frame, file in enumerate(files):
        image = read_image(file)[0]
        entry = annotated.get(file)
        segmentation = segmentations / f"{file.stem}.png" if entry is None else root / entry["segmentation_path"]
        if not segmentation.is_file():
            raise FileFormatError(f"{path}: frame {file.name} has no segmentation {segmentation}")
        mask = read_mask(segmentation).astype(np.uint8)
        images.append(image)
        masks.append(cv2.resize(mask, image.shape[1::-1], interpolation=cv2.INTER_NEAREST) != 0)
        if entry is not None:
            places, seen = _joints(entry, path)
            if len(places) != joints:
                raise FileFormatError(f"{path}: {len(places)} joints in {file.name} and {joints} before")
            joints_px[frame], visible[frame] = places, seen
    if len({image.shape for image in images}) > 1:
        raise FileFormatError(f"{path}: its pictures differ in size")
    return BadjaVideo(path.stem, np.stack(images), np.stack(masks), joints_px, visible)


def _read_entries(path: Path) -> list[dict[str, Any]]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileFormatError(f"{path} cannot be read: {error}") from error
    needed = {"image_path", "segmentation_path", "joints", "visibility"}
    if (
        not isinstance(entries, list)
        or not entries
        or not all(isinstance(entry, dict) and needed <= entry.keys() for entry in entries)
    ):
        raise FileFormatError(f"{path} should be a list of frames with {', '.join(sorted(needed))}")
    return entries


def _video_files(annotated: list[Path], path: Path) -> list[Path]:
    """All pictures from the first annotated one to the last, in natural order."""
    folder = annotated[0].parent
    missing = [file for file in annotated if not file.is_file() or file.parent != folder]
    if missing:
        raise FileFormatError(f"{path} names {missing[0]}, which is not there: put DAVIS beside joint_annotations")
    files = sorted(
        (item for item in folder.iterdir() if item.suffix.lower() in IMAGE_ENDINGS),
        key=lambda item: natural_key(item.name),
    )
    places = [files.index(file) for file in annotated]
    return files[min(places) : max(places) + 1]


def _joints(entry: dict[str, Any], path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(x, y) [J, 2] and visible [J] of the joints that were marked by hand."""
    joints = np.asarray(entry["joints"], np.float64)
    seen = np.asarray(entry["visibility"])
    if joints.ndim != 2 or joints.shape[1] != 2 or seen.shape != joints.shape[:1]:
        raise FileFormatError(
            f"{path}: joints {list(joints.shape)} and visibility {list(seen.shape)} of {entry['image_path']} do not fit"
        )
    if len(joints) >= _MODEL_JOINTS:
        joints, seen = joints[list(MARKED)], seen[list(MARKED)]
    return joints[:, ::-1], seen.astype(bool)
