"""What the readers share: folders of pictures and of masks, and what becomes of files that do not fit their layout."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TypeVar

import numpy as np

from ....errors import FileFormatError, InputError, MaskError
from ....files.images import IMAGE_ENDINGS, ImageFolder, natural_key, read_mask
from ....stream.frame import Frame

_Read = TypeVar("_Read")


def laid_out(read: Callable[[Path], _Read]) -> Callable[[Path], _Read]:
    """A reader of a data set whose every failure names what it read.

    Layouts are checked where mistakes are likely. Entries of other types, shapes and sizes fail where they are used, in
    as many ways as there are uses.
    """

    @wraps(read)
    def named(path: Path) -> _Read:
        try:
            return read(path)
        except InputError as error:
            if str(path) in str(error):
                raise
            raise type(error)(f"{path}: {error}") from error
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise FileFormatError(f"{path} is not what its layout says: {reason}") from error

    return named


def list_files(root: Path, pattern: str, wanted: str) -> list[Path]:
    """The files of a data set in natural order.

    Args:
        root: its folder.   pattern: of the files, below ``root``.   wanted: what the layout is, for the error.
    Raises:
        FileFormatError: no such folder, or none of these files in it.
    """
    if not root.is_dir():
        raise FileFormatError(f"{root} is no folder, wanted {wanted}")
    found = sorted(root.glob(pattern), key=lambda path: natural_key(str(path.relative_to(root))))
    if not found:
        raise FileFormatError(f"{root} holds no {pattern}, wanted {wanted}")
    return found


def read_pictures(folder: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """All pictures of a folder: images [F, H, W, 3] uint8 RGB and masks [F, H, W] bool, None without any.

    Masks are found as ``ImageFolder`` finds them (alpha channel, a folder ``masks``, files beside the pictures).

    Raises:
        FileFormatError, MaskError, ShapeError: pictures cannot be read, or their sizes differ.
    """
    frames = [event for event in ImageFolder(folder).events() if isinstance(event, Frame)]
    masks = [frame.mask for frame in frames if frame.mask is not None]
    images = np.stack([frame.image for frame in frames])
    return images, np.stack(masks) if len(masks) == len(frames) else None


def mask_folder(root: Path, name: str, images: np.ndarray) -> np.ndarray | None:
    """Masks [F, H, W] bool from ``root/masks/name/``, one picture for each frame in natural order; None without it.

    Raises:
        MaskError: not one for each frame, or of another size.
    """
    folder = root / "masks" / name
    if not folder.is_dir():
        return None
    files = sorted(
        (item for item in folder.iterdir() if item.suffix.lower() in IMAGE_ENDINGS),
        key=lambda path: natural_key(path.name),
    )
    if len(files) != len(images):
        raise MaskError(f"{folder} has {len(files)} masks for {len(images)} frames, wanted one for each")
    return check_masks(np.stack([read_mask(path) for path in files]), images, str(folder))


def check_masks(masks: np.ndarray, images: np.ndarray, where: str) -> np.ndarray:
    """Masks as bool, after a check of their size.

    Raises:
        MaskError: not of the images' size.
    """
    if masks.shape != images.shape[:3]:
        raise MaskError(f"masks of {where} have shape {list(masks.shape)}, wanted {list(images.shape[:3])}")
    return np.asarray(masks != 0)
