"""Everything a run leaves behind: animation, tracks, cameras, contact sheet and summary, each whole or not at all."""

from __future__ import annotations

import dataclasses
import json
import math
import platform
import shutil
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ..camera.poses import apply_pose
from ..errors import FileFormatError, InputError
from ..mesh.types import Mesh
from ..notes import Note, Notes, texts
from ..rollout.judging import TRUSTED_OVERLAP, TRUSTED_POSES
from ..shapes import check_shape
from .animation import keyframe_numbers, write_animated_glb
from .atomic import make_folder, remove_empty, write_bytes, write_then_rename
from .meshes import write_mesh
from .sheet import TILE, TRAIL, SheetFrame, contact_sheet

if TYPE_CHECKING:
    # Importing the rollout would import torch, which reading and writing files does without.
    from ..rollout.window import WindowResult

SUMMARY = "summary.json"
_COLUMNS = 8
_STORED_SIDE = 960
_PACKAGES = (
    "attnchain_ros",
    "numpy",
    "torch",
    "opencv-python-headless",
    "trimesh",
    "scipy",
    "scikit-image",
)


@dataclasses.dataclass(frozen=True)
class ResultOptions:
    """What is written and what the summary says about the run.

    Attributes:
        source: what was read.
        anchor: where the mesh's shape comes from: a file, or "first image".
        checkpoint: name of the weights.
        device: what computed it.
        config: the rollout's options (a nested dataclass), or None.
        per_frame_meshes: also write ``meshes/frame_00000.ply`` and so on.
        max_glb_frames: the animation keeps at most so many frames, evenly chosen (each costs 24 bytes a vertex).
        sheet_tile: side of a picture on the contact sheet, pixels.
    """

    source: str
    anchor: str = "first image"
    checkpoint: str = ""
    device: str = ""
    config: Any = None
    per_frame_meshes: bool = False
    max_glb_frames: int | None = 300
    sheet_tile: int = TILE


def read_summary(folder: Path) -> dict[str, Any]:
    """``summary.json`` of a run's folder, which is written last: a folder with it holds whole results.

    Raises:
        FileFormatError: it is not there or cannot be read.
    """
    path = Path(folder) / SUMMARY
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{path} is damaged: {error}") from error
    if not isinstance(found, dict):
        raise FileFormatError(f"{path} is damaged: it holds a {type(found).__name__}, wanted an object")
    return found


class _Spool:
    """Rows appended to a file on disk and read back as one memory map."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb")
        self._rows = 0
        self._row_shape: tuple[int, ...] = ()
        self._dtype = np.dtype(np.float32)

    def append(self, rows: np.ndarray) -> None:
        """Add [n, ...] rows of the same shape and type as before."""
        rows = np.ascontiguousarray(rows)
        if self._rows and (rows.shape[1:] != self._row_shape or rows.dtype != self._dtype):
            raise InputError(
                f"rows of {list(rows.shape[1:])} follow rows of {list(self._row_shape)} in {self._path.name}"
            )
        self._row_shape, self._dtype = rows.shape[1:], rows.dtype
        self._file.write(rows.tobytes())
        self._rows += len(rows)

    def array(self) -> np.ndarray:
        """All rows; nothing may be appended after."""
        self._file.close()
        shape = (self._rows, *self._row_shape)
        if 0 in shape:
            return np.zeros(shape, self._dtype)
        return np.memmap(self._path, self._dtype, "r", shape=shape)

    def close(self) -> None:
        """Close the file without reading it."""
        self._file.close()


_TRACK_FIELDS = ("points_px", "points_object", "points_camera", "visible", "confidence")
_CAMERA_FIELDS = ("camera_from_object", "valid", "inliers", "reprojection_px", "covariance")


class ResultWriter:
    """Collects windows and writes the results of a run into one folder; use it as a context manager.

    Memory does not grow with the number of windows: arrays go into temporary files below the output folder (12 bytes
    per vertex and frame, 37 per track and frame), and at most 16 scaled-down images are kept for the contact sheet.

    Files: ``animation.glb``; ``tracks.npz``; ``cameras.npz``; ``contact_sheet.png``; ``summary.json``; on request
    ``meshes/frame_XXXXX.ply``. Animation and meshes are in the frame and units of the anchor mesh if one was given;
    else in the object frame, in metres where the scale is known and object units otherwise. The NPZ files are in object
    units and hold ``scale`` (metres per unit of each frame, 1 = not metric) and ``user_from_object`` to convert them; a
    pose's ``covariance`` is that of ``CameraTrack``, NaN where the pose is not ``valid``.
    """

    def __init__(self, out_dir: Path, options: ResultOptions) -> None:
        """Make the folder; it goes again if nothing is written. An earlier run's files are replaced by ``finish``."""
        self.out_dir = Path(out_dir)
        self.options = options
        self._made = make_folder(self.out_dir)
        self._place = Path(tempfile.mkdtemp(prefix=".spool.", dir=self.out_dir))
        names = ("vertices", "stamps_ns", "confidence_frame", "scale", *_TRACK_FIELDS, *_CAMERA_FIELDS)
        self._spools = {name: _Spool(self._place / name) for name in names}
        self._first: WindowResult | None = None
        self._colors = np.zeros((0, 3), np.uint8)
        self._frames = 0
        self._windows = 0
        self._stride = 1
        self._pictures: dict[int, tuple[np.ndarray, np.ndarray | None, float]] = {}
        self._notes = Notes()
        self._timings: dict[str, list[float]] = {}
        self._totals: list[float] = []
        self._iou: list[float] = []

    def __enter__(self) -> ResultWriter:
        """The writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the temporary files, finished or not."""
        for spool in self._spools.values():
            spool.close()
        shutil.rmtree(self._place, ignore_errors=True)
        remove_empty(self._made)

    @property
    def windows(self) -> int:
        """Number of windows added so far."""
        return self._windows

    @property
    def frames(self) -> int:
        """Number of frames added so far, shared ones counted once."""
        return self._frames

    def add_note(self, note: Note) -> None:
        """Add to the summary's notes (each sentence once)."""
        self._notes.tell(*note)

    def add(self, result: WindowResult, images: np.ndarray, masks: np.ndarray | None = None) -> None:
        """Add the next window; its shared first frame is left out.

        Args:
            result: what the rollout returned.
            images: [F, H, W, 3] uint8 RGB, the window's frames.
            masks: [F, H, W] bool, for the outlines of the contact sheet.
        Raises:
            ShapeError: numbers of frames disagree.   InputError: another topology or other tracks than before.
        """
        axes = check_shape("images", images, "F H W 3", "the window's images", F=result.frames)
        if masks is not None:
            check_shape("masks", masks, "F H W", "the window's masks", **axes)
        first = self._first
        if first is None:
            self._first = first = result
        elif result.topology_id != first.topology_id or result.vertices.shape[1] != first.vertices.shape[1]:
            raise InputError(
                f"window {result.index} has topology {result.topology_id}, the results began with {first.topology_id}: "
                "the rollout was reset, write what follows into another folder"
            )
        elif not np.array_equal(result.tracks.ids, first.tracks.ids):
            raise InputError(f"the track ids of window {result.index} differ from the first window's without a reset")
        self._colors = result.vertex_colors  # they get better with every window
        fresh = slice(1 if result.shared_first and self._frames else 0, None)
        count = result.frames - (fresh.start or 0)
        self._spools["vertices"].append(result.vertices[fresh].astype(np.float32))
        self._spools["stamps_ns"].append(np.asarray(result.stamps_ns[fresh], np.int64))
        self._spools["confidence_frame"].append(np.asarray(result.confidence[fresh], np.float32))
        self._spools["scale"].append(np.full(count, result.scale if result.metric else 1.0))
        for name in _TRACK_FIELDS:
            self._spools[name].append(getattr(result.tracks, name)[fresh])
        camera = dataclasses.replace(result.camera, covariance=result.camera.trusted_covariance)
        for name in _CAMERA_FIELDS:
            self._spools[name].append(getattr(camera, name)[fresh])
        for offset in range(fresh.start or 0, result.frames):
            self._keep_picture(images[offset], None if masks is None else masks[offset])
        self._windows += 1
        for note in result.notes:
            self.add_note(note)
        if result.timings_s:
            self._totals.append(sum(result.timings_s.values()))
        for stage, seconds in result.timings_s.items():
            self._timings.setdefault(stage, []).append(seconds)
        if not math.isnan(result.silhouette_iou):
            self._iou.append(result.silhouette_iou)

    def finish(self) -> dict[str, Any]:
        """Write all files and return what went into ``summary.json``.

        Raises:
            InputError: no window was added.   FileFormatError: the folder cannot be written to.
        """
        first = self._first
        if first is None:
            raise InputError("no window was finished, so there is nothing to write")
        arrays = {name: spool.array() for name, spool in self._spools.items()}
        stamps = np.array(arrays["stamps_ns"])
        times = (stamps - stamps[0]) / 1e9
        placed = _Placed(arrays["vertices"], first.file_from_object)
        if len(keyframe_numbers(len(stamps), self.options.max_glb_frames)) < len(stamps):
            text = f"the animation keeps {self.options.max_glb_frames} of the {len(stamps)} frames"
            self.add_note(Note("animation_thinned", text))
        write_animated_glb(
            self.out_dir / "animation.glb",
            placed,  # type: ignore[arg-type]
            first.faces,
            self._colors,
            times,
            max_frames=self.options.max_glb_frames,
        )
        tracks = {name: arrays[name] for name in _TRACK_FIELDS}
        tracks |= {
            "ids": first.tracks.ids,
            "colors": first.tracks.colors,
            "stamps_ns": stamps,
            "scale": arrays["scale"],
            "confidence_frame": arrays["confidence_frame"],
        }
        cameras = {name: arrays[name] for name in _CAMERA_FIELDS}
        cameras |= {"intrinsics": first.camera.intrinsics, "stamps_ns": stamps, "scale": arrays["scale"]}
        cameras["intrinsics_given"] = np.array(first.camera.intrinsics_given)
        cameras["user_from_object"] = tracks["user_from_object"] = np.asarray(first.user_from_object, np.float64)
        self._write_npz("tracks.npz", tracks)
        self._write_npz("cameras.npz", cameras)
        if self.options.per_frame_meshes:
            for number in range(len(stamps)):
                mesh = Mesh(placed[number], first.faces, self._colors)
                write_mesh(self.out_dir / "meshes" / f"frame_{number:05d}.ply", mesh)
        summary = self._summary(first, arrays, times)
        self._write_sheet(first, arrays, times, summary)
        text = json.dumps(summary, indent=2, allow_nan=False) + "\n"
        write_bytes(self.out_dir / SUMMARY, text.encode())
        return summary

    def _keep_picture(self, image: np.ndarray, mask: np.ndarray | None) -> None:
        """Keep this frame for the contact sheet if it is one of an even choice among those seen so far."""
        if self._frames % self._stride == 0:
            factor = min(1.0, _STORED_SIDE / max(image.shape[:2]))
            small = image.copy()
            if factor < 1.0:
                # One factor for both axes, so that a circle stays one.
                size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
                small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
                factor = size[0] / image.shape[1]
                if mask is not None:
                    mask = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(bool)
            self._pictures[self._frames] = (small, None if mask is None else mask.copy(), factor)
            if len(self._pictures) > 2 * _COLUMNS:
                self._stride *= 2
                self._pictures = {n: kept for n, kept in self._pictures.items() if n % self._stride == 0}
        self._frames += 1

    def _write_npz(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        with write_then_rename(self.out_dir / name) as file:
            np.savez(file, **{key: arrays[key] for key in sorted(arrays)})  # type: ignore[arg-type]

    def _summary(self, first: WindowResult, arrays: dict[str, np.ndarray], times: np.ndarray) -> dict[str, Any]:
        confidence = arrays["confidence_frame"]
        return {
            "source": self.options.source,
            "anchor": self.options.anchor,
            "checkpoint": self.options.checkpoint,
            "device": self.options.device,
            "frames": len(times),
            "windows": self._windows,
            "duration_s": float(times[-1]),
            "vertices": int(first.vertices.shape[1]),
            "triangles": len(first.faces),
            "landmarks": len(first.landmark_vertices),
            "tracks": len(first.tracks.ids),
            "camera_poses": int(arrays["valid"].sum()),
            "intrinsics_given": bool(first.camera.intrinsics_given),
            "metric": bool(first.metric),
            "metres_per_unit": float(first.scale) if first.metric else None,
            "silhouette_iou": float(np.mean(self._iou)) if self._iou else None,
            "confidence_mean": _number(np.mean(confidence)),
            "confidence_least": _number(np.min(confidence)),
            "seconds_per_window": float(np.mean(self._totals)) if self._totals else None,
            "seconds_by_stage": {stage: float(np.mean(values)) for stage, values in self._timings.items()},
            "notes": texts(self._notes),
            "config": dataclasses.asdict(self.options.config) if self.options.config is not None else None,
            "versions": _versions(),
        }

    def _write_sheet(
        self, first: WindowResult, arrays: dict[str, np.ndarray], times: np.ndarray, summary: dict[str, Any]
    ) -> None:
        stored = sorted(self._pictures)
        columns = [stored[number] for number in keyframe_numbers(len(stored), _COLUMNS)]
        frames = []
        for number in columns:
            image, mask, factor = self._pictures[number]
            past = slice(max(0, number - TRAIL + 1), number + 1)
            frames.append(
                SheetFrame(
                    number=number,
                    time_s=float(times[number]),
                    image=image,
                    mask=mask,
                    image_scale=factor,
                    vertices=np.array(arrays["vertices"][number]),
                    camera_from_object=np.array(arrays["camera_from_object"][number]),
                    camera_valid=bool(arrays["valid"][number]),
                    camera_known=bool(arrays["valid"][: number + 1].any()),
                    intrinsics=first.camera.intrinsics,
                    trails_px=np.array(arrays["points_px"][past]),
                    visible=np.array(arrays["visible"][past]),
                )
            )
        title, subtitle = sheet_titles(summary)
        sheet = contact_sheet(frames, first.faces, self._colors, title, subtitle, self.options.sheet_tile)
        good, data = cv2.imencode(".png", sheet[..., ::-1])
        if not good:
            raise InputError(f"a contact sheet of {sheet.shape[1]}x{sheet.shape[0]} pixels could not be encoded")
        write_bytes(self.out_dir / "contact_sheet.png", data.tobytes())


class _Placed:
    """Frames of a memory map taken through an affine map, made one frame at a time."""

    def __init__(self, frames: np.ndarray, matrix: np.ndarray) -> None:
        self._frames = frames
        self._matrix = matrix
        self._same = bool((matrix == np.eye(4)).all())
        self.shape = frames.shape

    def __getitem__(self, number: int) -> np.ndarray:
        frame = np.asarray(self._frames[number])
        if self._same:
            return frame
        return np.asarray(apply_pose(self._matrix, frame.astype(np.float64)), np.float32)


def sheet_titles(summary: dict[str, Any]) -> tuple[str, str]:
    """The two lines above a contact sheet, from the summary; figures below what is trusted are called doubtful."""
    name = Path(str(summary["source"])).name or str(summary["source"])
    frames, windows = counted(summary["frames"], "frame"), counted(summary["windows"], "window")
    title = f"{name}: {frames} in {windows}, mesh from {Path(summary['anchor']).name}"
    iou, share = summary["silhouette_iou"], summary["camera_poses"] / summary["frames"]
    overlap = "unknown" if iou is None else f"{iou:.2f}" + _doubt(iou, TRUSTED_OVERLAP)
    parts = [
        f"{summary['vertices']} vertices",
        f"{summary['tracks']} tracks",
        f"camera poses {summary['camera_poses']}/{summary['frames']}" + _doubt(share, TRUSTED_POSES),
        f"outline overlap {overlap}",
        f"mean confidence {summary['confidence_mean']:.2f}" if summary["confidence_mean"] is not None else "",
        f"{summary['seconds_per_window']:.1f} s per window" if summary["seconds_per_window"] is not None else "",
        f"weights {summary['checkpoint']}" if summary["checkpoint"] else "",
    ]
    return _ascii(title), _ascii("  |  ".join(part for part in parts if part))


def _doubt(value: float, trusted: float) -> str:
    return "" if value >= trusted else f" (doubtful: trusted from {trusted:g})"


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "window"), counted(2, "window")
    ('1 window', '2 windows')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _ascii(text: str) -> str:
    """OpenCV's fonts know ASCII only."""
    return text.encode("ascii", "replace").decode()


def _number(value: Any) -> float | None:
    """A float for JSON, which knows no NaN."""
    return float(value) if math.isfinite(float(value)) else None


def _versions() -> dict[str, str]:
    """Versions of Python and of the packages that computed the results; only what is installed."""
    found = {"python": platform.python_version(), "platform": f"{sys.platform} {platform.machine()}"}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
