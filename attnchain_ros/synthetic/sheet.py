"""A contact sheet of a clip, to look at."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ..errors import FileFormatError
from .clip import Clip, render_cropped


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


def write_contact_sheet(path: Path, clip: Clip, size: int = 256, columns: int = 4, step: int = 1) -> None:
    """Write ``contact_sheet`` as a picture file.

    Raises:
        FileFormatError: the file cannot be written.
    """
    sheet = contact_sheet(clip, size, columns, step)
    if not cv2.imwrite(str(path), sheet[..., ::-1]):
        raise FileFormatError(f"{path} cannot be written: give a picture file name in an existing folder")
