"""Contact sheets of clips, to look at."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ...errors import FileFormatError
from .clip import Clip, ClipConfig, make_clip, render_cropped
from .families import FAMILIES


def contact_sheet(clip: Clip, size: int = 256, columns: int = 4, step: int = 1) -> np.ndarray:
    """Tile the clip's cropped frames, row by row.

    Args:
        clip: the clip; size: side of a tile, pixels; columns: tiles in a row; step: show every step-th frame.
    Returns:
        [rows * size, columns * size, 3] uint8 RGB, white where no frame is left.
    """
    tiles = render_cropped(clip, range(0, clip.config.frames, step), size).images
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * columns, size, size, 3), 255, dtype=np.uint8)
    sheet[: len(tiles)] = tiles
    return sheet.reshape(rows, columns, size, size, 3).swapaxes(1, 2).reshape(rows * size, columns * size, 3)


def family_sheet(seed: int, size: int = 128, columns: int = 6, step: int = 3) -> np.ndarray:
    """One row of frames for every family, in the order of ``FAMILIES``.

    Args:
        seed: of all the clips; size: side of a tile, pixels; columns: tiles in a row; step: show every step-th frame.
    Returns:
        [families * size, columns * size, 3] uint8 RGB.
    """
    frames = step * (columns - 1) + 1
    clips = [make_clip(seed, ClipConfig(family=family, frames=frames)) for family in FAMILIES]
    return np.concatenate([contact_sheet(clip, size, columns, step) for clip in clips])


def write_contact_sheet(path: Path, clip: Clip, size: int = 256, columns: int = 4, step: int = 1) -> None:
    """Write ``contact_sheet`` as a picture file.

    Raises:
        FileFormatError: the file cannot be written.
    """
    write_sheet(path, contact_sheet(clip, size, columns, step))


def write_sheet(path: Path, sheet: np.ndarray) -> None:
    """Write a sheet [H, W, 3] RGB as a picture file.

    Raises:
        FileFormatError: the file cannot be written.
    """
    if not cv2.imwrite(str(path), sheet[..., ::-1]):
        raise FileFormatError(f"{path} cannot be written: give a picture file name in an existing folder")
