"""Writing the latest animated mesh of the running node to a file. ROS-free."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import ConfigError, FileFormatError, InputError
from ..files.animation import write_animated_glb
from ..files.atomic import inside, write_then_rename
from ..files.meshes import write_mesh
from ..mesh.types import Mesh
from ..rollout.window import WindowResult

FORMATS = (".glb", ".ply", ".obj", ".npz")


def output_folder(output_dir: str) -> Path:
    """The absolute folder that a parameter ``output_dir`` names, links resolved."""
    return Path(output_dir).expanduser().resolve()


def check_output_dir(output_dir: str, root: Path) -> None:
    """Whoever may set parameters may not choose the whole disk.

    Args:
        output_dir: as it is to be set.
        root: the folder that was given at start-up.
    Raises:
        ConfigError: it leads out of ``root``.
    """
    folder = output_folder(output_dir)
    if not folder.is_relative_to(root):
        raise ConfigError(
            f"output_dir is {output_dir!r}, which leads out of {root}, the one given at start-up: choose a folder "
            "below it, or start the node with another one"
        )


def save_result(result: WindowResult, output_dir: Path, name: str, *, overwrite: bool) -> Path:
    """Write a window's mesh below ``output_dir``; complete or not at all.

    Args:
        result: of the rollout; lengths are written as published (times ``scale``).
        output_dir: folder that must not be left; made when needed.
        name: file name with one of FORMATS: glb holds the animation, npz all arrays, ply and obj the first frame.
        overwrite: replace an existing file.
    Returns:
        the file's absolute path.
    Raises:
        InputError: the name leads out of the folder, exists, or has another ending; the file cannot be written.
    """
    if output_dir.exists() and not output_dir.is_dir():
        raise FileFormatError(f"output_dir {output_dir} is a file, wanted a folder: set the parameter to another place")
    path = inside(output_dir, name)
    if path.suffix.lower() not in FORMATS:
        raise FileFormatError(f"{name!r} ends in {path.suffix!r}, wanted one of {', '.join(FORMATS)}")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists already: set overwrite, or choose another name")
    vertices = result.vertices * np.float32(result.scale)
    times = ((result.stamps_ns - result.stamps_ns[0]) * 1e-9).astype(np.float32)
    poses = result.camera.camera_from_object.copy()
    poses[:, :3, 3] *= result.scale
    try:
        if path.suffix.lower() == ".glb":
            write_animated_glb(path, vertices, result.faces, result.vertex_colors, times)
        elif path.suffix.lower() == ".npz":
            with write_then_rename(path) as file:
                np.savez_compressed(
                    file,
                    vertices=vertices,
                    faces=result.faces,
                    vertex_colors=result.vertex_colors,
                    stamps_ns=result.stamps_ns,
                    confidence=result.confidence,
                    camera_from_object=poses,
                    camera_valid=result.camera.valid,
                    scale=result.scale,
                    metric=result.metric,
                )
        else:
            write_mesh(path, Mesh(vertices[0], result.faces, result.vertex_colors))
    except OSError as error:
        raise FileFormatError(f"{path} could not be written: {error.strerror or error}") from error
    return path
