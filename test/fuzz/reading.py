"""Every reader of the package, with a look at what it gives."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np

from attnchain_ros.backbone import load_backbone
from attnchain_ros.cli.arguments import parse_box, parse_intrinsics, parse_settings
from attnchain_ros.errors import AttnChainError
from attnchain_ros.files.animation import read_animated_glb
from attnchain_ros.files.arrays import read_arrays
from attnchain_ros.files.images import ClipOptions, open_frames, read_image, read_mask
from attnchain_ros.files.meshes import read_mesh
from attnchain_ros.lab.evaluation.datasets import actionbench, badja, tapvid, worldtrack
from attnchain_ros.lab.evaluation.runs import RunFile
from attnchain_ros.lab.training.curves import read_log
from attnchain_ros.lab.training.recipe import load_recipe
from attnchain_ros.published.manifest import read_manifest
from attnchain_ros.stream.config import StreamConfig
from attnchain_ros.stream.decode import IMAGE_ENCODINGS, ImageFields, decode_image
from attnchain_ros.stream.windows import ClipWindows, clip_frames

from .spoiling import NUMBERS, WORDS


def image(path: Path) -> None:
    """As a frame, and as a mask."""
    errors = []
    for read in (read_image, read_mask):
        try:
            found = read(path)
        except AttnChainError as error:
            errors.append(error)
            continue
        pixels, mask = found if isinstance(found, tuple) else (None, found)
        assert pixels is None or (pixels.dtype == np.uint8 and pixels.shape[2:] == (3,) and pixels.flags.c_contiguous)
        assert mask is None or (mask.dtype == bool and mask.ndim == 2)
    for error in errors:
        raise error


def clip(path: Path, masks: Path | None = None) -> None:
    """As ``run`` reads it: every frame of every window."""
    source = open_frames(path, ClipOptions(masks=masks))
    assert source.count is None or source.count >= 0
    if not source.masked:
        frames = 0
        for frame, intrinsics in clip_frames(source, StreamConfig()):
            assert frame.image.dtype == np.uint8 and frame.image.ndim == 3 and frame.mask is None
            assert intrinsics is None or np.isfinite(intrinsics).all()
            frames += 1
        assert frames or source.notes, "nothing, and not a word"
        return
    last = None
    windows = ClipWindows(source, StreamConfig(), 4)
    for part in windows:
        window = part.window
        assert window.images.dtype == np.uint8 and window.images.shape[:3] == window.masks.shape
        assert window.masks.dtype == bool and (np.diff(window.stamps_ns) >= 0).all()
        assert window.intrinsics is None or np.isfinite(window.intrinsics).all()
        assert last is None or part.chain != last[0] or window.stamps_ns[0] == last[1]
        last = part.chain, window.stamps_ns[-1]
    assert last is not None or windows.notes or source.notes, "nothing, and not a word"


def mesh(path: Path) -> None:
    """As an anchor, and as a result that is read back."""
    errors = []
    for read in (read_mesh, read_animated_glb) if path.suffix == ".glb" else (read_mesh,):
        try:
            found = read(path)
        except AttnChainError as error:
            errors.append(error)
            continue
        assert found.faces.dtype == np.int32 and found.vertices.dtype == np.float32
        assert found.faces.min() >= 0 and found.faces.max() < found.vertices.shape[-2]
    for error in errors:
        raise error


def weights(path: Path) -> None:
    """As ``--weights``."""
    load_backbone(path, "cpu")


def listed(path: Path) -> None:
    """Lists and arrays, by their names."""
    if path.suffix == ".npz":
        found = read_arrays(path, ("video", "points"), ("occluded",))
        assert all(isinstance(array, np.ndarray) and array.dtype != object for array in found.values())
    elif "manifest" in path.name:
        read_manifest(path)
    else:
        load_recipe(path)


def dataset(path: Path) -> None:
    """As ``evaluate`` reads a benchmark, goes on with a run, and draws a training."""
    if path.name == "runs":
        RunFile(path, {"weights": "a"}, resume=True)
        read_log(path)
        return
    module = {"actionbench": actionbench, "tapvid": tapvid, "badja": badja, "worldtrack": worldtrack}[path.name]
    for one in module.list_clips(path) if module is actionbench else module.list_videos(path):
        read = module.read_clip if module is actionbench else module.read_video
        found = read(one)
        assert found.images.dtype == np.uint8 and found.images.ndim == 4 and len(found.images)


def arguments(path: Path) -> None:
    """Texts from the command line, and the fields of a message, made from the file's name."""
    chosen = random.Random(path.name)
    texts = [word.decode("latin1") for word in WORDS]
    text = ",".join(chosen.choice([*texts, "10", "20.5"]) for _ in range(chosen.randrange(6)))
    name = chosen.choice(["sampling.steps", "camera.estimate", "readout.layers", "sampling.shift", "x", ""])
    height, width, step = (chosen.choice([*NUMBERS, 4, 6, 24]) for _ in range(3))
    encoding = chosen.choice([*IMAGE_ENCODINGS, "16UC1", "32FC1", "", "RGB8", "x\0"])
    fields = ImageFields(encoding, height, width, step, bool(chosen.randrange(2)), bytes(chosen.randrange(2000)))
    for read in (
        lambda: parse_intrinsics(text),
        lambda: parse_box(text),
        lambda: parse_settings([f"{name}={text}"]),
        lambda: decode_image(fields),
    ):
        try:
            read()
        except AttnChainError as error:
            assert str(error)


def reader_of(kind: str, path: Path) -> Callable[[Path], None]:
    """What reads the input at ``path`` of a kind of ``seeds``."""
    return {
        "images": image,
        "folder": clip,
        "videos": clip,
        "bags": clip,
        "meshes": mesh,
        "weights": weights,
        "datasets": dataset,
    }.get(kind, listed)
