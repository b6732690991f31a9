"""WorldTrack: videos with 3D point tracks, in the layout of TAPVid-3D with the cameras added.

Layout::

    ROOT/<video>.npz             images_jpeg_bytes [F] bytes, tracks_XYZ [F, N, 3] metres in each frame's camera,
                                 visibility [F, N], fx_fy_cx_cy [4] pixels, extrinsics_w2c [F, 4, 4] camera from world
    ROOT/masks/<video>/*.png     one mask of the object for each frame; or an array ``masks`` [F, H, W] in the npz
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ....camera.tracks3d import project
from ....errors import FileFormatError
from ....files.arrays import read_arrays
from ....stream.decode import decode_compressed
from ..worldtrack import FRAMES, world_points
from .arrays import check_masks, laid_out, list_files, mask_folder

_LAYOUT = "a folder of npz files in TAPVid-3D's layout with extrinsics_w2c"
_NEEDED = ("images_jpeg_bytes", "tracks_XYZ", "visibility", "fx_fy_cx_cy", "extrinsics_w2c")


@dataclass(frozen=True)
class WorldTrackVideo:
    """The first 64 frames of one video.

    Attributes:
        name: of the video.
        images: [F, H, W, 3] uint8 RGB; masks: [F, H, W] bool, or None where none are given.
        intrinsics: [3, 3] float64 pixels.
        points_world: [F, N, 3] float64 metres, frame of the first camera.
        first_px: [N, 2] float64 pixels of the points in the first frame, NaN behind the camera.
        visible: [F, N] bool.
    """

    name: str
    images: np.ndarray
    masks: np.ndarray | None
    intrinsics: np.ndarray
    points_world: np.ndarray
    first_px: np.ndarray
    visible: np.ndarray


def list_videos(root: Path) -> list[Path]:
    """The files of all videos.

    Raises:
        FileFormatError: not of this layout.
    """
    return list_files(root, "*.npz", _LAYOUT)


@laid_out
def read_video(path: Path) -> WorldTrackVideo:
    """One video with its tracks.

    Raises:
        FileFormatError, MaskError: the file is not what the layout says.
    """
    arrays = read_arrays(path, _NEEDED, ("masks",))
    count = len(arrays["images_jpeg_bytes"])
    tracks, visible, poses = arrays["tracks_XYZ"], arrays["visibility"], arrays["extrinsics_w2c"]
    fits = tracks.ndim == 3 and tracks.shape[::2] == (count, 3) and visible.shape == tracks.shape[:2]
    if not fits or poses.shape != (count, 4, 4) or arrays["fx_fy_cx_cy"].shape != (4,) or not count:
        shapes = ", ".join(f"{name} {list(arrays[name].shape)}" for name in _NEEDED)
        raise FileFormatError(f"the arrays of {path} do not fit: {shapes}")
    images = [decode_compressed("jpeg", bytes(data)).rgb for data in arrays["images_jpeg_bytes"][:FRAMES]]
    pictures = [image for image in images if image is not None]
    if len(pictures) != len(images) or len({image.shape for image in pictures}) > 1:
        raise FileFormatError(f"the pictures of {path} are not colour pictures of one size")
    stack = np.stack(pictures)
    fx, fy, cx, cy = (float(value) for value in arrays["fx_fy_cx_cy"])
    intrinsics = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
    world = world_points(tracks[:FRAMES], poses[:FRAMES])
    masks = mask_folder(path.parent, path.stem, stack)
    if "masks" in arrays:
        masks = check_masks(arrays["masks"][:FRAMES], stack, str(path))
    seen = np.asarray(visible[:FRAMES], bool)
    return WorldTrackVideo(path.stem, stack, masks, intrinsics, world, project(intrinsics, world[0]), seen)
