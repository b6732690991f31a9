"""Meshes survive writing and reading with order, values and colours; damaged files are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh

from attnchain_ros.errors import FileFormatError, MeshError
from attnchain_ros.files.meshes import read_mesh, write_mesh
from attnchain_ros.mesh.types import Mesh


def _mesh(coloured: bool = True) -> Mesh:
    """A box with one vertex twice (readers like to merge these) in an order of its own."""
    box = trimesh.creation.box((1.0, 0.6, 0.4))
    rng = np.random.default_rng(1)
    order = rng.permutation(8)
    vertices = np.concatenate([box.vertices[order], box.vertices[order[:1]]]) + 1 / 3
    faces = np.argsort(order)[box.faces]
    faces[0][faces[0] == 0] = 8
    colours = rng.integers(0, 256, (9, 3), dtype=np.uint8) if coloured else None
    return Mesh(vertices.astype(np.float32), faces.astype(np.int32), colours)


@pytest.mark.parametrize("coloured", [True, False])
@pytest.mark.parametrize("ending", ["glb", "ply", "obj", "npz"])
def test_round_trip_keeps_order_values_and_colours(tmp_path: Path, ending: str, coloured: bool) -> None:
    mesh = _mesh(coloured)
    path = tmp_path / f"mesh.{ending}"
    write_mesh(path, mesh)
    found = read_mesh(path)
    np.testing.assert_array_equal(found.vertices, mesh.vertices)
    np.testing.assert_array_equal(found.faces, mesh.faces)
    if mesh.vertex_colors is None:
        assert found.vertex_colors is None
    else:
        np.testing.assert_array_equal(found.vertex_colors, mesh.vertex_colors)
    assert found.vertices.dtype == np.float32 and found.faces.dtype == np.int32
    first = path.read_bytes()
    write_mesh(path, mesh)
    assert path.read_bytes() == first, "the same mesh gives the same bytes"


@pytest.mark.parametrize("ending", ["glb", "gltf", "ply", "obj", "stl"])
def test_files_of_other_programs_are_read(tmp_path: Path, ending: str) -> None:
    box = trimesh.creation.box((1.0, 0.6, 0.4))
    folder = tmp_path / "made"
    folder.mkdir()
    if ending == "gltf":
        for name, data in trimesh.Scene(box).export(file_type="gltf").items():
            (folder / name).write_bytes(data)
        path = folder / "model.gltf"
    else:
        path = folder / f"box.{ending}"
        box.export(path)
    found = read_mesh(path)
    assert len(found.faces) == 12
    np.testing.assert_allclose(found.vertices[found.faces], box.vertices[box.faces], atol=1e-6)


def test_parts_of_a_scene_become_one_mesh_placed_as_in_the_file(tmp_path: Path) -> None:
    scene = trimesh.Scene()
    scene.add_geometry(trimesh.creation.box((1, 1, 1)))
    scene.add_geometry(trimesh.creation.box((1, 1, 1)), transform=trimesh.transformations.translation_matrix([5, 0, 0]))
    scene.export(tmp_path / "two.glb")
    found = read_mesh(tmp_path / "two.glb")
    assert found.vertices.shape == (16, 3) and found.faces.shape == (24, 3)
    assert found.vertices[:, 0].min() == -0.5 and found.vertices[:, 0].max() == 5.5
    assert found.faces.max() == 15


def test_vertex_colours_beside_a_material_are_found(tmp_path: Path) -> None:
    mesh = _mesh()
    write_mesh(tmp_path / "own.glb", mesh)
    raw = (tmp_path / "own.glb").read_bytes()
    # The same file by another name of the writer: read like any other program's, colours as glTF defines them.
    (tmp_path / "other.glb").write_bytes(raw.replace(b"attnchain_ros animation", b"some other animation   "))
    found = read_mesh(tmp_path / "other.glb")
    assert found.vertex_colors is not None and mesh.vertex_colors is not None
    np.testing.assert_array_equal(found.vertex_colors, mesh.vertex_colors)


def test_refusals_name_the_file_and_the_reason(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"mesh .*no.ply does not exist"):
        read_mesh(tmp_path / "no.ply")
    with pytest.raises(FileFormatError, match=r"\.fbx is not a mesh format, wanted \.glb"):
        read_mesh(tmp_path / "a.fbx")
    with pytest.raises(FileFormatError, match=r"cannot write \.stl"):
        write_mesh(tmp_path / "a.stl", _mesh())
    for ending in ("glb", "ply", "npz"):
        (tmp_path / f"bad.{ending}").write_bytes(b"this is no mesh")
        with pytest.raises(FileFormatError, match=f"bad.{ending}.* cannot be read"):
            read_mesh(tmp_path / f"bad.{ending}")
    (tmp_path / "empty.obj").write_text("# nothing\n")
    with pytest.raises((FileFormatError, MeshError), match=r"empty.obj"):
        read_mesh(tmp_path / "empty.obj")
    trimesh.PointCloud(np.eye(3)).export(tmp_path / "points.ply")
    with pytest.raises(MeshError, match=r"points.ply has no triangles"):
        read_mesh(tmp_path / "points.ply")
    np.savez(tmp_path / "half.npz", vertices=np.eye(3))
    with pytest.raises(FileFormatError, match=r"half.npz has no array faces"):
        read_mesh(tmp_path / "half.npz")
    np.savez(tmp_path / "range.npz", vertices=np.eye(3), faces=np.array([[0, 1, 3]]))
    with pytest.raises(MeshError, match=r"range.npz cannot be used"):
        read_mesh(tmp_path / "range.npz")


def test_pickled_arrays_are_never_loaded(tmp_path: Path) -> None:
    harmful = np.array([{"a": 1}], dtype=object)
    np.savez(tmp_path / "pickle.npz", vertices=harmful, faces=np.array([[0, 1, 2]]))
    with pytest.raises(FileFormatError, match=r"pickle.npz cannot be read: Object arrays cannot be loaded"):
        read_mesh(tmp_path / "pickle.npz")
