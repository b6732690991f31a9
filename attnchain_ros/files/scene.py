"""Several animated objects in one GLB: the animations of results folders, placed where their cameras saw them.

The scene's frame is the camera's, y up and looking along -z as glTF's own cameras do. Each object is a node that is
moved by its poses and keeps its mesh and its morph targets as they were written; while it is not there its scale is 0,
which is how glTF hides things. Sizes of different objects compare only where their lengths are metric.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..camera.poses import quaternion_xyzw
from ..errors import FileFormatError
from .atomic import write_then_rename
from .glb import BIN, FLOAT, JSON, MAGIC, accessor_array, load_glb

ANIMATION, CAMERAS = "animation.glb", "cameras.npz"
"""What of a results folder goes into a scene."""
_AFTER_S = 1e-3
"""So long after its last frame a part is hidden."""
_ARRAYS = ("stamps_ns", "camera_from_object", "valid", "scale", "user_from_object")
SCENE_FROM_CAMERA = np.diag([1.0, -1.0, -1.0, 1.0])
"""From OpenCV's camera (y down, z ahead) to glTF's (y up, z back)."""


@dataclass(frozen=True)
class ScenePart:
    """One animation: what its node is called, and the results folder that it lies in."""

    name: str
    folder: Path


@dataclass(frozen=True)
class _Placed:
    """Where a part is: key times [K] seconds in the scene, places [K, 3], turns [K, 4] xyzw, one factor of size.

    ``begins``, ``ends``: when it is there.
    """

    times_s: np.ndarray
    places: np.ndarray
    turns: np.ndarray
    factor: float
    begins_s: float
    ends_s: float


def write_scene(path: Path, parts: list[ScenePart]) -> list[str]:
    """Write all parts into one GLB, whole or not at all; the same input gives the same bytes.

    Args:
        path: file to write.
        parts: at least one.
    Returns:
        names of parts that are left out, since not one of their frames has a camera pose.
    Raises:
        FileFormatError: a part cannot be read, or the file would not fit into a GLB's 4 GiB.
    """
    cameras = [_read_cameras(part.folder / CAMERAS) for part in parts]
    begins_ns = min(int(found["stamps_ns"][0]) for found in cameras)
    ends_ns = max(int(found["stamps_ns"][-1]) for found in cameras)
    merged = _Merged((ends_ns - begins_ns) * 1e-9)
    left_out = []
    for part, found in zip(parts, cameras, strict=True):
        placed = _place(found, begins_ns)
        if placed is None:
            left_out.append(part.name)
        else:
            merged.add(part, placed)
    if len(left_out) < len(parts):
        merged.write(path)
    return left_out


def _read_cameras(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path) as file:
            return {name: file[name] for name in _ARRAYS}
    except (OSError, ValueError, KeyError) as error:
        raise FileFormatError(f"{path} cannot be read: {error}") from error


def _place(found: dict[str, np.ndarray], begins_ns: int) -> _Placed | None:
    """Poses of a part's mesh as it is written in the scene; None without any."""
    keys = np.flatnonzero(found["valid"])
    if not len(keys):
        return None
    times = (found["stamps_ns"] - begins_ns) * 1e-9
    scale = found["scale"]
    user = found["user_from_object"]
    file_from_object = user if (user != np.eye(4)).any() else np.diag([scale[0], scale[0], scale[0], 1.0])
    object_from_file = np.linalg.inv(file_from_object)
    poses = []
    for key in keys:
        lengths = np.diag([scale[key], scale[key], scale[key], 1.0])
        poses.append(SCENE_FROM_CAMERA @ lengths @ found["camera_from_object"][key] @ object_from_file)
    matrices = np.array(poses)
    factors = np.cbrt(np.linalg.det(matrices[:, :3, :3]))
    turns = np.array([quaternion_xyzw(m[:3, :3] / factor) for m, factor in zip(matrices, factors, strict=True)])
    for row in range(1, len(turns)):  # the same turn has two quaternions: neighbours take the near ones
        if turns[row] @ turns[row - 1] < 0:
            turns[row] = -turns[row]
    return _Placed(times[keys], matrices[:, :3, 3], turns, float(np.median(factors)), float(times[0]), float(times[-1]))


class _Merged:
    """One document and its data, to which parts are added; ``ends_s``: when the scene ends."""

    def __init__(self, ends_s: float) -> None:
        self._ends_s = ends_s
        self._data: list[bytes] = []
        self._size = 0
        self._nodes: list[dict[str, Any]] = []
        self._lists: dict[str, list[Any]] = {name: [] for name in ("meshes", "materials", "bufferViews", "accessors")}
        self._samplers: list[dict[str, Any]] = []
        self._channels: list[dict[str, Any]] = []
        self._extensions: set[str] = set()

    def add(self, part: ScenePart, placed: _Placed) -> None:
        """One part: its document moved behind those before, and its node moved by its poses."""
        document, data = load_glb(part.folder / ANIMATION)
        base = {name: len(found) for name, found in self._lists.items()}
        node, sampler = len(self._nodes), len(self._samplers)
        start = self._append(data)
        self._extensions.update(document.get("extensionsUsed", ()))
        for view in document["bufferViews"]:
            self._lists["bufferViews"].append({**view, "byteOffset": view.get("byteOffset", 0) + start})
        for accessor in document["accessors"]:
            self._lists["accessors"].append({**accessor, "bufferView": accessor["bufferView"] + base["bufferViews"]})
        self._lists["materials"] += document.get("materials", [])
        for mesh in document["meshes"]:
            self._lists["meshes"].append({**mesh, "primitives": [_shift(one, base) for one in mesh["primitives"]]})
        self._nodes.append({"name": part.name, "mesh": base["meshes"]})
        for animation in document.get("animations", []):
            for one in animation["samplers"]:
                # Float32 as in the file, so that the scene's times are those of a whole run.
                times = accessor_array(document, data, one["input"]) + np.float32(placed.begins_s)
                output = one["output"] + base["accessors"]
                self._samplers.append({**one, "input": self._times(times), "output": output})
            for channel in animation["channels"]:
                target = {**channel["target"], "node": node}
                self._channels.append({**channel, "sampler": channel["sampler"] + sampler, "target": target})
        keys = self._times(placed.times_s)
        self._channel(node, "translation", keys, self._block(placed.places, "VEC3"))
        self._channel(node, "rotation", keys, self._block(placed.turns, "VEC4"))
        self._presence(node, placed)

    def _presence(self, node: int, placed: _Placed) -> None:
        """The part's size, 0 before it comes and after its last frame."""
        times, sizes = [placed.begins_s], [placed.factor]
        if placed.begins_s > 0:
            times, sizes = [0.0, *times], [0.0, *sizes]
        if placed.ends_s < self._ends_s:
            times, sizes = [*times, placed.ends_s + _AFTER_S], [*sizes, 0.0]
        scales = np.repeat(np.array(sizes)[:, None], 3, axis=1)
        self._nodes[node]["scale"] = [placed.factor] * 3
        self._channel(node, "scale", self._times(np.array(times)), self._block(scales, "VEC3"), "STEP")

    def _channel(self, node: int, path: str, keys: int, values: int, interpolation: str = "LINEAR") -> None:
        self._channels.append({"sampler": len(self._samplers), "target": {"node": node, "path": path}})
        self._samplers.append({"input": keys, "output": values, "interpolation": interpolation})

    def _times(self, seconds: np.ndarray) -> int:
        number = self._block(seconds, "SCALAR")
        stored = seconds.astype(np.float32)
        self._lists["accessors"][number] |= {"min": [float(stored.min())], "max": [float(stored.max())]}
        return number

    def _block(self, values: np.ndarray, kind: str) -> int:
        """Append numbers; returns their accessor."""
        raw = np.ascontiguousarray(values, "<f4").tobytes()
        view = {"buffer": 0, "byteOffset": self._append(raw), "byteLength": len(raw)}
        self._lists["bufferViews"].append(view)
        accessor = {"bufferView": len(self._lists["bufferViews"]) - 1, "componentType": FLOAT, "count": len(values)}
        self._lists["accessors"].append({**accessor, "type": kind})
        return len(self._lists["accessors"]) - 1

    def _append(self, data: bytes) -> int:
        start = self._size
        padded = data + b"\0" * (-len(data) % 4)
        self._data.append(padded)
        self._size += len(padded)
        return start

    def write(self, path: Path) -> None:
        """Write the file."""
        document: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": "attnchain_ros scene"},
            "scene": 0,
            "scenes": [{"nodes": list(range(len(self._nodes)))}],
            "nodes": self._nodes,
            **self._lists,
            "animations": [{"name": "motion", "samplers": self._samplers, "channels": self._channels}],
            "buffers": [{"byteLength": self._size}],
        }
        if self._extensions:
            document["extensionsUsed"] = sorted(self._extensions)
        text = json.dumps(document, separators=(",", ":"), ensure_ascii=True).encode()
        text += b" " * (-len(text) % 4)
        total = 12 + 8 + len(text) + 8 + self._size
        if total >= 2**32:
            raise FileFormatError(
                f"the scene would take {total} bytes, a GLB ends at 4 GiB: each object has its own file"
            )
        with write_then_rename(Path(path)) as file:
            file.write(struct.pack("<III", MAGIC, 2, total))
            file.write(struct.pack("<II", len(text), JSON) + text)
            file.write(struct.pack("<II", self._size, BIN))
            for block in self._data:
                file.write(block)


def _shift(primitive: dict[str, Any], base: dict[str, int]) -> dict[str, Any]:
    """A primitive whose accessors and material stand behind others."""

    def moved(group: dict[str, int]) -> dict[str, int]:
        return {name: number + base["accessors"] for name, number in group.items()}

    found = {**primitive, "attributes": moved(primitive["attributes"])}
    found["indices"] = primitive["indices"] + base["accessors"]
    if "material" in primitive:
        found["material"] = primitive["material"] + base["materials"]
    if "targets" in primitive:
        found["targets"] = [moved(target) for target in primitive["targets"]]
    return found
