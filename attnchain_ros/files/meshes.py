"""Reading and writing single meshes; the order of the vertices is kept."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..camera.poses import apply_pose
from ..errors import FileFormatError, MeshError
from ..mesh.types import Mesh, check_mesh_arrays
from .animation import made_here, read_animated_glb, write_animated_glb
from .arrays import read_arrays
from .atomic import write_then_rename
from .glb import load_glb
from .shading import srgb_from_linear

if TYPE_CHECKING:
    import trimesh

_LOG = logging.getLogger(__name__)
_FAR = 100.0
"""A mesh farther from the origin than so many of its sides is moved there while it is worked on."""
_GREY = 200
"""Colour of parts without one where other parts of the file have colours."""
READ_ENDINGS = (".glb", ".gltf", ".ply", ".obj", ".stl", ".npz")
WRITE_ENDINGS = (".glb", ".ply", ".obj", ".npz")


def read_mesh(path: Path) -> Mesh:
    """Read one mesh; a file with several parts gives one mesh with all of them, placed as in the file.

    Of an animated GLB that was written here it is the first frame.

    Vertices keep the file's order and are not merged (STL files repeat every corner). Colours: per vertex where the
    file has them, looked up in the texture where it has one, None otherwise.

    Args:
        path: .glb, .gltf, .ply, .obj, .stl, or .npz with ``vertices`` [V, 3], ``faces`` [T, 3] and, optionally,
            ``vertex_colors`` [V, 3].
    Returns:
        the mesh in the file's own units and axes.
    Raises:
        FileFormatError: missing, of another format, damaged.
        MeshError: no triangles, indices out of range, not finite.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in READ_ENDINGS:
        raise FileFormatError(f"{path}: {ending or 'no ending'} is not a mesh format, wanted {', '.join(READ_ENDINGS)}")
    if not path.is_file():
        raise FileFormatError(f"mesh {path} does not exist")
    if ending == ".npz":
        return _read_npz(path)
    if ending == ".glb" and made_here(path):
        own = read_animated_glb(path)
        return _make(path, own.vertices[0], own.faces, own.vertex_colors)
    if ending in (".glb", ".gltf"):
        _check_gltf(path)
    # A second to import, which the node's start and meshes of our own making need not wait for.
    import trimesh

    try:
        extra: dict[str, Any] = {"maintain_order": True} if ending == ".obj" else {}
        scene = trimesh.load_scene(str(path), process=False, **extra)
        parts = _placed_parts(path, scene, linear=ending in (".glb", ".gltf"))
    # Readers of damaged files fail in as many ways as there are formats; the reason goes into our message.
    except Exception as error:
        raise FileFormatError(f"mesh {path} cannot be read: {type(error).__name__}: {error}") from error
    if not parts:
        raise MeshError(f"mesh {path} has no triangles: point clouds and curves cannot be animated")
    starts = np.cumsum([0] + [len(vertices) for vertices, _, _ in parts])
    painted = None
    if any(colours is not None for _, _, colours in parts):
        grey = [np.full((len(vertices), 3), _GREY, np.uint8) for vertices, _, _ in parts]
        painted = np.concatenate(
            [plain if item[2] is None else item[2] for plain, item in zip(grey, parts, strict=True)]
        )
    return _make(
        path,
        np.concatenate([vertices for vertices, _, _ in parts]),
        np.concatenate([faces + start for (_, faces, _), start in zip(parts, starts[:-1], strict=True)]),
        painted,
    )


def write_mesh(path: Path, mesh: Mesh) -> None:
    """Write one mesh, whole or not at all; the ending names the format.

    Args:
        path: .glb, .ply (binary), .obj or .npz.
        mesh: vertices keep their order and float32 values (exactly, also in .obj).
    Raises:
        FileFormatError: another ending, or the folder cannot be written to.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in WRITE_ENDINGS:
        raise FileFormatError(f"{path}: cannot write {ending or 'no ending'}, wanted {', '.join(WRITE_ENDINGS)}")
    colours = mesh.vertex_colors
    if ending == ".npz":
        arrays: dict[str, Any] = {"vertices": mesh.vertices, "faces": mesh.faces}
        if colours is not None:
            arrays["vertex_colors"] = colours
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        data = buffer.getvalue()
    elif ending == ".obj":
        data = _obj_text(mesh).encode()
    elif ending == ".glb":
        write_animated_glb(path, mesh.vertices[None], mesh.faces, colours, np.zeros(1))
        return
    else:
        import trimesh

        part = trimesh.Trimesh(mesh.vertices, mesh.faces, vertex_colors=colours, process=False)
        data = trimesh.exchange.ply.export_ply(part)
    with write_then_rename(path) as file:
        file.write(data)


def _read_npz(path: Path) -> Mesh:
    found = read_arrays(path, ("vertices", "faces"), ("vertex_colors",))
    return _make(path, found["vertices"], found["faces"], found.get("vertex_colors"))


def _make(path: Path, vertices: np.ndarray, faces: np.ndarray, colours: np.ndarray | None) -> Mesh:
    try:
        real = np.issubdtype(vertices.dtype, np.integer) or np.issubdtype(vertices.dtype, np.floating)
        exact = vertices.astype(np.float64) if real else vertices
        # Before any number is cut to the mesh's own type.
        check_mesh_arrays(exact, faces)
        with np.errstate(over="ignore"):  # what is too large becomes infinite, which is refused
            offset = _far_off(exact, faces)
            placed = np.ascontiguousarray(exact if offset is None else exact - offset, np.float32)
        return Mesh(placed, np.ascontiguousarray(faces, np.int32), None if colours is None else _bytes(colours), offset)
    except ValueError as error:
        raise MeshError(f"mesh {path} cannot be used: {error}") from error


def _bytes(colours: np.ndarray) -> np.ndarray:
    """Colours [V, 3 or 4] of whole numbers up to 255 as [V, 3] uint8; others as they are, for the mesh to refuse."""
    whole = np.issubdtype(colours.dtype, np.integer) and colours.ndim == 2
    if not whole or colours.size == 0 or colours.min() < 0 or colours.max() > 255:
        return colours
    return np.ascontiguousarray(colours[:, :3], np.uint8)


def _far_off(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray | None:
    """[3] float64 middle of a mesh that lies so far from the origin that float32 would blur its shape, else None."""
    shape = vertices[np.unique(faces)]
    low, high = shape.min(axis=0), shape.max(axis=0)
    side = float((high - low).max())
    middle: np.ndarray = np.round(0.5 * (low + high))
    return middle if side > 0 and float(np.abs(middle).max()) > _FAR * side else None


def _placed_parts(
    path: Path, scene: trimesh.Scene, linear: bool
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
    """Vertices, faces and colours of every triangle mesh of a scene, where its node puts it.

    ``linear``: vertex colours are linear light, as glTF defines them.

    trimesh's own joining of parts loses vertex colours that stand beside a material.
    """
    import trimesh

    parts = []
    for node in scene.graph.nodes_geometry:
        placed, name = scene.graph[node]
        part = scene.geometry[name]
        if not isinstance(part, trimesh.Trimesh) or len(part.faces) == 0:
            continue
        vertices = apply_pose(placed, np.asarray(part.vertices))
        mirrored = np.linalg.det(placed[:3, :3]) < 0
        faces = np.asarray(part.faces)
        parts.append((vertices, faces[:, ::-1] if mirrored else faces, _colours(path, part, linear)))
    return parts


def _colours(path: Path, part: trimesh.Trimesh, linear: bool) -> np.ndarray | None:
    """[V, 3] uint8 of a mesh read by trimesh, None where it has none of its own."""
    import trimesh

    visual: Any = part.visual
    if visual.kind == "texture":
        beside = visual.vertex_attributes.get("color")
        if beside is not None and len(beside) == len(part.vertices):
            if linear and np.issubdtype(np.asarray(beside).dtype, np.floating):
                return srgb_from_linear(np.asarray(beside)[:, :3])
            return _shown(trimesh.visual.color.to_rgba(beside), linear)
        try:
            colours = np.asarray(visual.to_color().vertex_colors)
        # A texture may be missing or of a kind that cannot be sampled; the mesh is good without it.
        except (AttributeError, ValueError, TypeError, IndexError) as error:
            _LOG.warning("mesh %s has no colours: its texture or material could not be sampled (%s)", path, error)
            return None
        return colours[:, :3].astype(np.uint8) if colours.shape[0] == len(part.vertices) else None
    if visual.kind != "vertex":
        return None
    colours = np.asarray(visual.vertex_colors)
    return _shown(colours, linear) if colours.shape[0] == len(part.vertices) else None


def _shown(colours: np.ndarray, linear: bool) -> np.ndarray:
    """[V, 3] uint8 sRGB of colours [V, 3 or 4] uint8."""
    plain = np.asarray(colours)[:, :3].astype(np.uint8)
    return srgb_from_linear(plain / np.float32(255)) if linear else plain


_UNDERSTOOD = ("KHR_materials_", "KHR_texture_transform", "KHR_lights_punctual", "KHR_xmp")


def _check_gltf(path: Path) -> None:
    """Refuse what cannot be read as it is meant, and say what is left out.

    Raises:
        FileFormatError: the file needs an extension that is not understood.
    """
    try:
        document = load_glb(path)[0] if path.suffix.lower() == ".glb" else json.loads(path.read_text("utf-8"))
        needed = [name for name in document.get("extensionsRequired", []) if not name.startswith(_UNDERSTOOD)]
        skins = len(document.get("skins", []))
    except (FileFormatError, ValueError, AttributeError, TypeError, RecursionError):
        return  # the reader says what is wrong with it
    if needed:
        raise FileFormatError(
            f"mesh {path} needs {', '.join(needed)}, which is not understood: export it without compression"
        )
    if skins:
        _LOG.warning("%s is skinned: its joints are ignored, the mesh is taken in its bind pose", path)


def _obj_text(mesh: Mesh) -> str:
    """Wavefront OBJ with vertex colours after the positions; 9 digits give float32 back exactly."""
    lines = ["# attnchain_ros"]
    if mesh.vertex_colors is None:
        lines += [f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in mesh.vertices.tolist()]
    else:
        shades = (mesh.vertex_colors / 255.0).tolist()
        lines += [
            f"v {x:.9g} {y:.9g} {z:.9g} {red:.6f} {green:.6f} {blue:.6f}"
            for (x, y, z), (red, green, blue) in zip(mesh.vertices.tolist(), shades, strict=True)
        ]
    lines += [f"f {a} {b} {c}" for a, b, c in (mesh.faces + 1).tolist()]
    return "\n".join(lines) + "\n"
