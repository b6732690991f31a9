"""The method in one call, for scripts and notebooks: ``attnchain_ros.load`` and ``attnchain_ros.animate``."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .backbone import Backbone, choose_dtype, load_backbone
from .camera.poses import apply_pose
from .errors import InputError
from .files.animation import write_animated_glb
from .files.bag_frames import read_frames
from .files.images import ClipOptions, open_frames, stamps_from_fps
from .files.meshes import read_mesh
from .files.videos import DEFAULT_FPS
from .masks import Prompt, masks_weights
from .masks.tracker import load_tracker
from .mesh.types import Mesh
from .notes import Note
from .options import resolve
from .rollout.pipeline import Rollout
from .rollout.window import WindowResult
from .shapes import check_shape
from .stream.config import StreamConfig
from .stream.frame import Frame
from .stream.objects import one_object
from .stream.prompted import PromptedSource
from .stream.source import ArraySource, FrameSource
from .stream.standing import FixedFrame
from .stream.windows import ClipWindows
from .wire import fixed_from_object


@dataclass(frozen=True)
class Animation:
    """One object as long as it was followed: one topology, vertices that move.

    Attributes:
        windows: of the rollout, in order; everything else is in them (tracks, cameras, confidence, notes).
        notes: what was assumed, left out or went wrong, for the user.
    """

    windows: tuple[WindowResult, ...]
    notes: tuple[Note, ...]

    @property
    def vertices(self) -> np.ndarray:
        """[F, V, 3] float32, every frame once; in the frame and units of a given anchor mesh, else object frame (y up)
        in metres where the scale is known and in object units otherwise."""
        placed = self.windows[0].file_from_object
        return self.every(lambda window: apply_pose(placed, window.vertices.astype(np.float64)).astype(np.float32))

    @property
    def faces(self) -> np.ndarray:
        """[T, 3] int32, counter-clockwise seen from outside; the same in every frame."""
        return self.windows[0].faces

    @property
    def vertex_colors(self) -> np.ndarray:
        """[V, 3] uint8 RGB."""
        return self.windows[-1].vertex_colors

    @property
    def stamps_ns(self) -> np.ndarray:
        """[F] int64 nanoseconds, the images' own."""
        return self.every(lambda window: window.stamps_ns)

    @property
    def camera_from_object(self) -> np.ndarray:
        """[F, 4, 4] float64 in object units; NaN in frames without a pose of their own."""
        return self.every(
            lambda window: np.where(window.camera.valid[:, None, None], window.camera.camera_from_object, np.nan)
        )

    @property
    def fixed_from_object(self) -> np.ndarray:
        """[F, 4, 4] float64 in metres: the object in the fixed frame that was asked for; NaN in frames where it cannot
        be said: TF does not reach, the pose is not trusted, or lengths are not metres."""

        def rows(window: WindowResult) -> np.ndarray:
            poses = (fixed_from_object(window, frame) for frame in range(window.frames))
            return np.stack([np.full((4, 4), np.nan) if pose is None else pose for pose in poses])

        return self.every(rows)

    @property
    def points_px(self) -> np.ndarray:
        """[F, Q, 2] float32 tracked points in full-frame pixels; NaN = absent."""
        return self.every(lambda window: window.tracks.points_px)

    def every(self, what: Callable[[WindowResult], np.ndarray]) -> np.ndarray:
        """Rows [F, ...] of the whole animation; a frame that two windows share is taken from the earlier one.

        Args:
            what: from a window to rows of its frames.
        """
        return np.concatenate([what(window)[int(window.shared_first) :] for window in self.windows])

    def write_glb(self, path: str | Path) -> None:
        """One animated GLB, which opens in Blender and in web viewers."""
        times_s = (self.stamps_ns - self.stamps_ns[0]) * 1e-9
        write_animated_glb(Path(path), self.vertices, self.faces, self.vertex_colors, times_s)


def load(weights: str | Path | None = None, device: str = "auto", dtype: str = "auto") -> Backbone:
    """The networks, to be used for several clips.

    Args:
        weights: checkpoint folder; None = the small demonstration model of this package.
        device: auto, cpu, cuda or cuda:N.
        dtype: auto, float32, bfloat16 or float16.
    Raises:
        WeightsError: the checkpoint cannot be used.   ConfigError: no such device or precision.
    """
    return load_backbone(weights, device, dtype)


def animations(
    clip: str | Path | np.ndarray,
    *,
    masks: str | Path | np.ndarray | Prompt | None = None,
    instance: int = 0,
    sam2_weights: str | Path | None = None,
    anchor: str | Path | Mesh | None = None,
    backbone: Backbone | None = None,
    options: Mapping[str, Any] | None = None,
    intrinsics: np.ndarray | None = None,
    fixed_frame: str | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Iterator[Animation]:
    """Follow the object of a clip; a new animation begins where the frames before cannot be followed on.

    Args:
        clip: folder of images, video, rosbag2 folder, or images [F, H, W, 3] uint8 RGB (taken as 30 a second).
        masks: folder with a mask per image, or [F, H, W] bool or integer ids; or what is meant in the first image, such
            as ``Prompt(points=((640, 360),))``, from which SAM 2 makes them; None = the clip's own (alpha, topic), else
            GrabCut.
        instance: value of the object in masks that hold several objects; 0 = they hold one, several are refused.
        sam2_weights: folder of SAM 2's video model; None = sam2.1-hiera-tiny in or beside the backbone's folder, or in
            ./weights.
        anchor: mesh of the object as in frame 0 (glb, ply, obj); None = made from the first image.
        backbone: as from ``load``; None loads the small one.
        options: of the method by dotted name, such as ``{"sampling.steps": 4}``; they win over the checkpoint's.
        intrinsics: [3, 3] K in pixels; None = the clip's own, or assumed.
        fixed_frame: frame of a bag's TF that stands still, such as odom: for ``Animation.fixed_from_object``, and the
            option ``camera.motion: known``.
        progress: called with (stage, done, total) inside each window.
    Yields:
        an animation as soon as its frames end.
    Raises:
        InputError: clip, masks, anchor, options or fixed frame cannot be used.
        WeightsError: there is a prompt, but no SAM 2.
    """
    networks = load() if backbone is None else backbone
    config = resolve(networks, options)
    mesh = read_mesh(Path(anchor)) if isinstance(anchor, (str, Path)) else anchor
    rollout = Rollout(networks, config, mesh)
    prompt = masks if isinstance(masks, Prompt) else None
    source = _source(clip, None if isinstance(masks, Prompt) else masks, instance)
    fixed = None if fixed_frame is None else FixedFrame(fixed_frame, read_frames(Path(source.name), fixed_frame))
    if prompt is not None:
        place = masks_weights(sam2_weights, networks.folder)
        tracker = load_tracker(place, networks.device, choose_dtype("auto", networks.device))
        source = PromptedSource(source, tracker, prompt)
    windows = ClipWindows(source, StreamConfig(foreground="grabcut"), config.frames, intrinsics, fixed=fixed)
    for _, chain in itertools.groupby(windows, key=lambda part: part.chain):
        rollout.reset()
        results = tuple(rollout.run(part.window, progress) for part in chain)
        told = (*windows.source.notes, *windows.notes, *(note for result in results for note in result.notes))
        yield Animation(results, tuple(dict.fromkeys(told)))


def animate(clip: str | Path | np.ndarray, **arguments: Any) -> Animation:
    """The first of ``animations``, which takes the same arguments; most clips hold one.

    Raises:
        InputError: as there, or the clip has no frames.
    """
    found = next(animations(clip, **arguments), None)
    if found is None:
        raise InputError(f"{clip} has no frames")
    return found


def _source(clip: str | Path | np.ndarray, masks: str | Path | np.ndarray | None, instance: int) -> FrameSource:
    if not isinstance(clip, np.ndarray):
        if isinstance(masks, np.ndarray):
            raise InputError("masks are an array, but the clip is a path: give both as arrays or both as paths")
        return open_frames(Path(clip), ClipOptions(masks=None if masks is None else Path(masks), instance=instance))
    axes = check_shape("clip", clip, "F H W 3")
    if masks is not None:
        if not isinstance(masks, np.ndarray):
            raise InputError("the clip is an array, but masks are a path: give both as arrays or both as paths")
        check_shape("masks", masks, "F H W", "one mask per image, of its size", **axes)
    stamps = stamps_from_fps(len(clip), DEFAULT_FPS)
    rows: list[np.ndarray | None] = [None] * len(clip)
    if masks is not None:
        masks = masks.astype(np.uint8) if masks.dtype == bool else masks
        rows = [one_object(mask, instance, f"mask {number}") for number, mask in enumerate(masks)]
    frames = [Frame(image, mask, int(stamp)) for image, mask, stamp in zip(clip, rows, stamps, strict=True)]
    return ArraySource(frames, "images in memory")
