"""One GLB (glTF 2.0) with an animated mesh: its first frame, a morph target per later frame, and weights over time.

Morph targets are plain glTF 2.0, so Blender (as shape keys), three.js and model viewers play the file as it is.

Colours are stored as float32 in linear light, which is what glTF says COLOR_0 is; 8 bit linear values would lose the
darks, and sRGB values would look washed out in every viewer that keeps to the specification.

Size: 24 bytes (12 without normals) per vertex and frame, plus F * (F - 1) * 4 bytes of weights. 20,000 vertices take
0.48 MB a frame; 61 frames 29 MB. ``max_frames`` keeps an even selection of a long animation.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, FileFormatError, InputError
from ..shapes import check_shape
from .atomic import write_then_rename
from .glb import (
    ARRAY_BUFFER,
    BIN,
    COMPONENT,
    ELEMENT_BUFFER,
    FLOAT,
    JSON,
    MAGIC,
    UINT,
    WIDTH,
    accessor_array,
    check_document,
    load_glb,
    weights_sampler,
)
from .shading import linear_from_srgb, srgb_from_linear, vertex_normals

_GENERATOR = b"attnchain_ros animation"


@dataclass(frozen=True)
class AnimatedGlb:
    """What ``read_animated_glb`` found.

    Attributes:
        vertices: [F, V, 3] float32 at the key times.
        faces: [T, 3] int32.
        vertex_colors: [V, 3] uint8, None if the file has none.
        times_s: [F] float32 seconds.
        normals: [F, V, 3] float32 at the key times, None if the file has none; not renormalised.
    """

    vertices: np.ndarray
    faces: np.ndarray
    vertex_colors: np.ndarray | None
    times_s: np.ndarray
    normals: np.ndarray | None


def keyframe_numbers(frames: int, max_frames: int | None) -> np.ndarray:
    """Numbers of the frames that are kept: all, or ``max_frames`` evenly spread ones with the first and the last.

    >>> keyframe_numbers(7, 4).tolist()
    [0, 2, 4, 6]
    """
    if max_frames is None or frames <= max_frames:
        return np.arange(frames)
    if max_frames < 2:
        raise ConfigError(f"max_frames is {max_frames}, the least is 2 (the first and the last frame)")
    return np.rint(np.linspace(0, frames - 1, max_frames)).astype(np.int64)


def write_animated_glb(
    path: Path,
    vertices: np.ndarray,
    faces: np.ndarray,
    vertex_colors: np.ndarray | None,
    times_s: np.ndarray,
    *,
    normals: bool = True,
    unlit: bool = False,
    max_frames: int | None = None,
    name: str = "object",
) -> None:
    """Write an animated mesh as one GLB, whole or not at all; the same input gives the same bytes.

    Frame 0 is the mesh, every later frame a morph target of float32 displacements from it, and one LINEAR sampler
    drives the weights. Frames are written one by one, so ``vertices`` may be a memory map.

    Args:
        path: file to write (.glb).
        vertices: [F, V, 3] finite, object frame (y up, as glTF wants it), object units or metres.
        faces: [T, 3] integers, counter-clockwise seen from outside.
        vertex_colors: [V, 3] uint8 sRGB, or None.
        times_s: [F] seconds, increasing, any origin (stored from 0).
        normals: store normals and their displacements, so that viewers shade every pose smoothly.
        unlit: ask viewers to show the plain colours (KHR_materials_unlit) instead of shading them.
        max_frames: keep at most so many frames, evenly chosen.
        name: name of the node in the file.
    Raises:
        ShapeError: shapes disagree.   InputError: not finite, times not increasing, a face index out of range.
        FileFormatError: the path cannot be written.
    """
    look = _Look(normals=normals, unlit=unlit, name=name)
    blocks = _glb_blocks((vertices, faces, vertex_colors, times_s), look, max_frames)
    first = next(blocks)  # what cannot be written is refused before there is a file
    with write_then_rename(Path(path)) as file:
        file.write(first)
        file.writelines(blocks)


def animated_glb_bytes(
    vertices: np.ndarray,
    faces: np.ndarray,
    vertex_colors: np.ndarray | None,
    times_s: np.ndarray,
    *,
    max_frames: int | None = None,
    name: str = "object",
) -> bytes:
    """What ``write_animated_glb`` writes, as bytes; of one frame it is a mesh that stands still.

    Args, raises:
        as ``write_animated_glb``.
    """
    return b"".join(_glb_blocks((vertices, faces, vertex_colors, times_s), _Look(name=name), max_frames))


def read_animated_glb(path: Path) -> AnimatedGlb:
    """Read the first mesh of a GLB with its weights animation back, after checking its structure (``check_glb``).

    A file without animation gives one frame at time 0. Every key frame is evaluated as the
    specification says: base + sum of weight * displacement.

    Raises:
        FileFormatError: not such a file, or its structure breaks a rule of glTF 2.0.
    """
    document, data = load_glb(path)
    check_document(document, data, path)
    try:
        primitive = document["meshes"][0]["primitives"][0]
    except (KeyError, IndexError) as error:
        raise FileFormatError(f"{path} holds no mesh") from error
    attributes, targets = primitive["attributes"], primitive.get("targets", [])
    sampler = weights_sampler(document)
    if sampler is None:
        times, weights = np.zeros(1, np.float32), np.zeros((1, len(targets)), np.float32)
    else:
        times = accessor_array(document, data, sampler["input"])
        weights = accessor_array(document, data, sampler["output"]).reshape(len(times), len(targets))
    posed = {}
    for attribute in ("POSITION", "NORMAL"):
        if attribute not in attributes:
            continue
        base = accessor_array(document, data, attributes[attribute])
        found = np.repeat(base[None], len(times), axis=0).astype(np.float64)
        for number, target in enumerate(targets):
            if attribute in target:
                active = np.flatnonzero(weights[:, number])
                shift = accessor_array(document, data, target[attribute])
                found[active] += weights[active, number, None, None] * shift
        posed[attribute] = found.astype(np.float32)
    colours = None
    if "COLOR_0" in attributes:
        colours = srgb_from_linear(accessor_array(document, data, attributes["COLOR_0"])[:, :3])
    return AnimatedGlb(
        vertices=posed["POSITION"],
        faces=accessor_array(document, data, primitive["indices"]).reshape(-1, 3).astype(np.int32),
        vertex_colors=colours,
        times_s=times,
        normals=posed.get("NORMAL"),
    )


def made_here(path: Path) -> bool:
    """Whether a GLB was written by ``write_animated_glb`` (its colours are then in linear light)."""
    with Path(path).open("rb") as file:
        return _GENERATOR in file.read(4096)


def _glb_blocks(
    content: tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray], look: _Look, max_frames: int | None
) -> Iterator[bytes]:
    """A whole GLB in pieces; ``content``: vertices, faces, vertex_colors and times_s as for ``write_animated_glb``."""
    vertices, faces, vertex_colors, times_s = content
    axes = check_shape("vertices", vertices, "F V 3")
    check_shape("faces", faces, "T 3")
    check_shape("times_s", times_s, "F", "one time per frame", **axes)
    if vertex_colors is not None:
        check_shape("vertex_colors", vertex_colors, "V 3", "one colour per vertex", **axes)
    if axes["F"] < 1 or axes["V"] < 1 or len(faces) < 1:
        raise InputError(f"nothing to write: {axes['F']} frames, {axes['V']} vertices, {len(faces)} triangles")
    if int(faces.min()) < 0 or int(faces.max()) >= axes["V"]:
        raise InputError(f"faces use vertices {int(faces.min())} to {int(faces.max())}, there are 0 to {axes['V'] - 1}")
    keep = keyframe_numbers(axes["F"], max_frames)
    times = (np.asarray(times_s, np.float64)[keep] - float(times_s[0])).astype(np.float32)
    if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise InputError("times of the frames are not finite and increasing (as float32 seconds)")

    # JSON comes before the data but holds their bounds, so the frames are walked twice.
    bounds = []
    base = np.asarray(vertices[keep[0]], np.float32)
    for number in keep:
        shift = np.asarray(vertices[number], np.float32) - (base if number != keep[0] else np.float32(0))
        if not np.isfinite(shift).all():
            raise InputError(f"vertices of frame {number} are not finite")
        bounds.append((shift.min(axis=0), shift.max(axis=0)))
    layout = _Layout()
    look = replace(look, coloured=vertex_colors is not None)
    document = _document(layout, (axes["V"], len(faces)), times, bounds, look)
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=True).encode()
    text += b" " * (-len(text) % 4)
    total = 12 + 8 + len(text) + 8 + layout.size
    if total >= 2**32:
        raise FileFormatError(f"the animation would take {total} bytes, a GLB ends at 4 GiB: give max_frames")
    yield struct.pack("<III", MAGIC, 2, total)
    yield struct.pack("<II", len(text), JSON) + text
    yield struct.pack("<II", layout.size, BIN)
    written = 0
    for block in _blocks(vertices, faces, vertex_colors, keep, times, look.normals):
        yield block
        written += len(block)
    if written != layout.size:
        raise FileFormatError(f"wrote {written} bytes of data of a GLB, announced {layout.size}")


class _Layout:
    """Buffer views and accessors in the order in which the blocks are written."""

    def __init__(self) -> None:
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []
        self.size = 0

    def add(
        self,
        count: int,
        kind: str,
        component: int,
        target: int | None = None,
        bounds: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> int:
        """Reserve one tightly packed block and return the number of its accessor."""
        length = count * WIDTH[kind] * COMPONENT[component].itemsize
        view: dict[str, Any] = {"buffer": 0, "byteOffset": self.size, "byteLength": length}
        if target is not None:
            view["target"] = target
        accessor: dict[str, Any] = {
            "bufferView": len(self.views),
            "componentType": component,
            "count": count,
            "type": kind,
        }
        if bounds is not None:
            accessor["min"] = np.atleast_1d(bounds[0]).astype(float).tolist()
            accessor["max"] = np.atleast_1d(bounds[1]).astype(float).tolist()
        self.views.append(view)
        self.accessors.append(accessor)
        self.size += length + (-length % 4)
        return len(self.accessors) - 1


@dataclass(frozen=True)
class _Look:
    """What the file holds besides positions, and the object's name in it."""

    coloured: bool = False
    normals: bool = True
    unlit: bool = False
    name: str = "object"


def _document(
    layout: _Layout,
    counts: tuple[int, int],
    times: np.ndarray,
    bounds: list[tuple[np.ndarray, np.ndarray]],
    look: _Look,
) -> dict[str, Any]:
    """The glTF document; the calls of ``layout.add`` fix the order that ``_blocks`` follows.

    ``counts``: of vertices and triangles; ``bounds``: least and greatest corner of the base and of each displacement.
    """
    vertex_count, triangle_count = counts
    normals, name = look.normals, look.name
    indices = layout.add(triangle_count * 3, "SCALAR", UINT, ELEMENT_BUFFER)
    attributes = {"POSITION": layout.add(vertex_count, "VEC3", FLOAT, ARRAY_BUFFER, bounds[0])}
    if normals:
        attributes["NORMAL"] = layout.add(vertex_count, "VEC3", FLOAT, ARRAY_BUFFER)
    if look.coloured:
        attributes["COLOR_0"] = layout.add(vertex_count, "VEC4", FLOAT, ARRAY_BUFFER)
    targets = []
    for bound in bounds[1:]:
        target = {"POSITION": layout.add(vertex_count, "VEC3", FLOAT, ARRAY_BUFFER, bound)}
        if normals:
            target["NORMAL"] = layout.add(vertex_count, "VEC3", FLOAT, ARRAY_BUFFER)
        targets.append(target)
    material: dict[str, Any] = {
        "name": name,
        "pbrMetallicRoughness": {
            "baseColorFactor": [1.0, 1.0, 1.0, 1.0],
            "metallicFactor": 0.0,
            "roughnessFactor": 0.9,
        },
    }
    primitive: dict[str, Any] = {"attributes": attributes, "indices": indices, "mode": 4, "material": 0}
    mesh: dict[str, Any] = {"name": name, "primitives": [primitive]}
    document: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": _GENERATOR.decode()},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": name, "mesh": 0}],
        "meshes": [mesh],
        "materials": [material],
    }
    if look.unlit:
        material["extensions"] = {"KHR_materials_unlit": {}}
        document["extensionsUsed"] = ["KHR_materials_unlit"]
    if targets:
        primitive["targets"] = targets
        mesh["weights"] = [0.0] * len(targets)
        mesh["extras"] = {"targetNames": [f"frame_{number:05d}" for number in range(1, len(targets) + 1)]}
        key_times = layout.add(len(times), "SCALAR", FLOAT, None, (times.min(), times.max()))
        key_weights = layout.add(len(times) * len(targets), "SCALAR", FLOAT)
        document["animations"] = [
            {
                "name": "motion",
                "samplers": [{"input": key_times, "output": key_weights, "interpolation": "LINEAR"}],
                "channels": [{"sampler": 0, "target": {"node": 0, "path": "weights"}}],
            }
        ]
    document["buffers"] = [{"byteLength": layout.size}]
    document["bufferViews"] = layout.views
    document["accessors"] = layout.accessors
    return document


def _blocks(
    vertices: np.ndarray,
    faces: np.ndarray,
    vertex_colors: np.ndarray | None,
    keep: np.ndarray,
    times: np.ndarray,
    normals: bool,
) -> Iterator[bytes]:
    """The data in the order of ``_document``, each block padded to 4 bytes."""

    def packed(array: np.ndarray, dtype: str) -> bytes:
        raw = np.ascontiguousarray(array, dtype).tobytes()
        return raw + b"\0" * (-len(raw) % 4)

    base = np.asarray(vertices[keep[0]], np.float32)
    base_normals = vertex_normals(base, faces) if normals else None
    yield packed(faces, "<u4")
    yield packed(base, "<f4")
    if base_normals is not None:
        yield packed(base_normals, "<f4")
    if vertex_colors is not None:
        yield packed(np.concatenate([linear_from_srgb(vertex_colors), np.ones((len(base), 1))], axis=1), "<f4")
    for number in keep[1:]:
        now = np.asarray(vertices[number], np.float32)
        yield packed(now - base, "<f4")
        if base_normals is not None:
            yield packed(vertex_normals(now, faces) - base_normals, "<f4")
    if len(keep) > 1:
        yield packed(times, "<f4")
        # Key frame 0 is the base (all weights 0), key frame f has target f - 1 alone.
        yield packed(np.eye(len(keep), len(keep) - 1, k=-1), "<f4")
