"""ActionBench: pictures of animated objects and their true, tracked point clouds.

Layout (the published data set's ``data`` folder)::

    ROOT/<uid>/surfaces.npy      [F, P, 6] position and normal of P tracked points in each frame
    ROOT/<uid>/...               F pictures with alpha, in the folder itself or in the one folder below that has some
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ....errors import FileFormatError, MaskError
from ....files.images import IMAGE_ENDINGS
from ..actionbench import TrueClouds
from .arrays import laid_out, list_files, read_pictures

_LAYOUT = "ActionBench's data folder with <uid>/surfaces.npy and the pictures beside it"


@dataclass(frozen=True)
class ActionBenchClip:
    """One object.

    Attributes:
        name: its uid.
        images: [F, H, W, 3] uint8 RGB; masks: [F, H, W] bool.
        truth: clouds of the F frames.
    """

    name: str
    images: np.ndarray
    masks: np.ndarray
    truth: TrueClouds


def list_clips(root: Path) -> list[Path]:
    """The folders of all objects.

    Raises:
        FileFormatError: ``root`` is not of this layout.
    """
    return [path.parent for path in list_files(root, "*/surfaces.npy", _LAYOUT)]


@laid_out
def read_clip(folder: Path) -> ActionBenchClip:
    """One object's pictures and truth.

    Raises:
        FileFormatError, MaskError: a file is missing or not what the layout says.
    """
    try:
        surfaces = np.load(folder / "surfaces.npy", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise FileFormatError(f"{folder / 'surfaces.npy'} cannot be read: {error}") from error
    if surfaces.ndim != 3 or surfaces.shape[2] not in (3, 6) or not np.issubdtype(surfaces.dtype, np.floating):
        raise FileFormatError(
            f"{folder / 'surfaces.npy'} has shape {list(surfaces.shape)} of {surfaces.dtype}, wanted [F, P, 6]"
        )
    images, masks = read_pictures(_picture_folder(folder))
    if len(images) != len(surfaces):
        raise FileFormatError(f"{folder} has {len(images)} pictures for {len(surfaces)} frames of surfaces.npy")
    if masks is None:
        raise MaskError(f"the pictures of {folder} have no alpha channel and there is no folder masks")
    normals = surfaces[..., 3:].astype(np.float64) if surfaces.shape[2] == 6 else None
    return ActionBenchClip(folder.name, images, masks, TrueClouds(surfaces[..., :3].astype(np.float64), normals))


def _picture_folder(folder: Path) -> Path:
    places = [folder, *sorted(item for item in folder.iterdir() if item.is_dir() and item.name != "masks")]
    found = [place for place in places if any(item.suffix.lower() in IMAGE_ENDINGS for item in place.iterdir())]
    if len(found) != 1:
        names = ", ".join(place.name for place in found) or "none"
        raise FileFormatError(f"{folder} should have one folder with the pictures, found {names}: leave the one to use")
    return found[0]
