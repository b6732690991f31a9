"""TAP-Vid: videos with point tracks.

The published DAVIS part is one pickle file. Loading a pickle can run any code, so this package loads none. In an
environment where you trust the file, turn it into a folder of npz files once::

    import pickle, numpy
    for name, entry in pickle.load(open("tapvid_davis.pkl", "rb")).items():
        numpy.savez_compressed(name + ".npz", **entry)

Layout::

    ROOT/<video>.npz             video [F, H, W, 3] uint8, points [N, F, 2] x and y from 0 to 1, occluded [N, F] bool
    ROOT/masks/<video>/*.png     one mask of the object for each frame (such as DAVIS' own); or an array ``masks``
                                 [F, H, W] in the npz
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ....errors import FileFormatError
from ....files.arrays import read_arrays
from .arrays import check_masks, laid_out, list_files, mask_folder

_LAYOUT = "a folder of one npz file (video, points, occluded) for each video"


@dataclass(frozen=True)
class TapVidVideo:
    """One video.

    Attributes:
        name: of the video.
        images: [F, H, W, 3] uint8 RGB; masks: [F, H, W] bool, or None where none are given.
        points_px: [F, N, 2] float64 pixels of the images (centre of the top left pixel is (0, 0)).
        visible: [F, N] bool.
    """

    name: str
    images: np.ndarray
    masks: np.ndarray | None
    points_px: np.ndarray
    visible: np.ndarray


def list_videos(root: Path) -> list[Path]:
    """The files of all videos.

    Raises:
        FileFormatError: not of this layout; for the published pickle, with the way to convert it.
    """
    pickles = [root] if root.suffix == ".pkl" else sorted(root.glob("*.pkl")) if root.is_dir() else []
    if pickles and not any(pickles[0].parent.glob("*.npz")):
        raise FileFormatError(
            f"{pickles[0]} is a pickle, and loading one can run any code: in an environment where you trust it, "
            "convert it to npz files, for name, entry in pickle.load(open(FILE, 'rb')).items(): "
            "numpy.savez_compressed(name + '.npz', **entry)"
        )
    return list_files(root, "*.npz", _LAYOUT)


@laid_out
def read_video(path: Path) -> TapVidVideo:
    """One video with its tracks.

    Raises:
        FileFormatError, MaskError: the file is not what the layout says.
    """
    arrays = read_arrays(path, ("video", "points", "occluded"), ("masks",))
    images, points, occluded = arrays["video"], arrays["points"], arrays["occluded"]
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
        raise FileFormatError(f"video of {path} has shape {list(images.shape)} of {images.dtype}, wanted uint8 RGB")
    if points.ndim != 3 or points.shape[1:] != (len(images), 2) or occluded.shape != points.shape[:2]:
        raise FileFormatError(
            f"{path} has points {list(points.shape)} and occluded {list(occluded.shape)} for {len(images)} frames, "
            "wanted [N, frames, 2] and [N, frames]"
        )
    visible = ~np.asarray(occluded, bool).T
    places = np.swapaxes(np.asarray(points, np.float64), 0, 1)
    if not np.isfinite(places[visible]).all() or np.abs(places[visible]).max(initial=0.0) > 2:
        raise FileFormatError(f"points of {path} are not shares of the picture from 0 to 1")
    height, width = images.shape[1:3]
    masks = mask_folder(path.parent, path.stem, images)
    if "masks" in arrays:
        masks = check_masks(arrays["masks"], images, str(path))
    return TapVidVideo(path.stem, images, masks, places * [width, height] - 0.5, visible)
