"""What the readers share: folders of pictures and of masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ....errors import FileFormatError, MaskError
from ....files.images import IMAGE_ENDINGS, ImageFolder, natural_key, read_mask
from ....stream.frame import Frame


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
