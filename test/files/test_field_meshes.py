"""Meshes as tools and people make them: read as they are meant, or refused by name."""

from __future__ import annotations

import json
import logging
import struct
from pathlib import Path

import numpy as np
import pytest
import trimesh

from attnchain_ros.camera.poses import apply_pose
from attnchain_ros.config import RolloutConfig
from attnchain_ros.errors import FileFormatError, MeshError
from attnchain_ros.files.animation import write_animated_glb
from attnchain_ros.files.glb import FLOAT, load_glb
from attnchain_ros.files.meshes import read_mesh
from attnchain_ros.mesh.types import Mesh
from attnchain_ros.rollout.anchor import given_anchor

BALL = trimesh.creation.icosphere(subdivisions=2)
QUICK = RolloutConfig()


def glb(path: Path, **changes: object) -> Path:
    """A ball as a GLB whose document is changed."""
    data = BALL.export(file_type="glb")
    length = struct.unpack_from("<I", data, 12)[0]
    document = json.loads(data[20 : 20 + length]) | changes
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    rest = data[20 + length :]
    total = 20 + len(text) + len(rest)
    path.write_bytes(struct.pack("<IIIII", 0x46546C67, 2, total, len(text), 0x4E4F534A) + text + rest)
    return path


def test_an_obj_with_uvs_and_a_plain_material_is_read_grey(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for material in ("newmtl plain\nKd 0.2 0.4 0.6\n", "newmtl plain\nmap_Kd lost.png\n"):
        (tmp_path / "m.mtl").write_text(material)
        (tmp_path / "m.obj").write_text(
            "mtllib m.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nvt 0 0\nvt 1 0\nvt 0 1\n"
            "usemtl plain\nf 1/1 2/2 3/3\nf 1/1 3/2 4/3\nf 1/1 4/2 2/3\nf 2/1 4/2 3/3\n"
        )
        caplog.clear()
        mesh = read_mesh(tmp_path / "m.obj")
        np.testing.assert_array_equal(mesh.vertices, [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
        np.testing.assert_array_equal(mesh.faces, [[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]])
        assert mesh.vertex_colors is None
        assert f"mesh {tmp_path / 'm.obj'} has no colours: its texture or material" in caplog.text


def test_coordinates_of_a_map_keep_their_shape(tmp_path: Path) -> None:
    """A ball of one metre at UTM coordinates, in a file of doubles."""
    place = np.array([512_345.25, 5_412_345.75, 431.5])
    np.savez(tmp_path / "utm.npz", vertices=BALL.vertices + place, faces=BALL.faces)
    mesh = read_mesh(tmp_path / "utm.npz")
    assert mesh.offset is not None
    np.testing.assert_allclose(mesh.vertices + mesh.offset, BALL.vertices + place, atol=1e-6)
    near = given_anchor(Mesh(BALL.vertices.astype(np.float32), BALL.faces.astype(np.int32)), QUICK)
    far = given_anchor(mesh, QUICK)
    np.testing.assert_allclose(far.mesh.vertices, near.mesh.vertices, atol=1e-6)
    back = apply_pose(far.user_from_object, far.mesh.vertices[far.expand].astype(np.float64))
    np.testing.assert_allclose(back, BALL.vertices + place, atol=1e-6)


def test_a_vertex_that_no_triangle_uses_does_not_count() -> None:
    vertices = np.vstack([[[900.0, 0, 0]], BALL.vertices, [[0, -700.0, 0]]]).astype(np.float32)
    spoilt = Mesh(vertices, (BALL.faces + 1).astype(np.int32))
    plain = Mesh(BALL.vertices.astype(np.float32), BALL.faces.astype(np.int32))
    found, wanted = given_anchor(spoilt, QUICK), given_anchor(plain, QUICK)
    np.testing.assert_array_equal(found.mesh.vertices, wanted.mesh.vertices)
    np.testing.assert_array_equal(found.landmark_vertices, wanted.landmark_vertices)
    assert len(found.expand) == len(vertices)
    np.testing.assert_array_equal(found.expand[1:-1], wanted.expand)


def test_one_triangle_is_refused() -> None:
    corner = Mesh(np.eye(3, dtype=np.float32), np.array([[0, 1, 2]], np.int32))
    with pytest.raises(MeshError, match="the anchor mesh has 1 triangles, wanted at least 4"):
        given_anchor(corner, QUICK)


def test_what_a_glb_needs_and_we_lack_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = glb(tmp_path / "draco.glb", extensionsRequired=["KHR_draco_mesh_compression", "KHR_materials_unlit"])
    with pytest.raises(FileFormatError, match="needs KHR_draco_mesh_compression, which is not understood"):
        read_mesh(path)
    mesh = read_mesh(glb(tmp_path / "fine.glb", extensionsRequired=["KHR_materials_unlit"]))
    assert len(mesh.faces) == len(BALL.faces)
    with caplog.at_level(logging.WARNING):
        skinned = read_mesh(glb(tmp_path / "skin.glb", skins=[{"joints": [0]}]))
    assert "skin.glb is skinned: its joints are ignored, the mesh is taken in its bind pose" in caplog.text
    np.testing.assert_allclose(skinned.vertices, BALL.vertices, atol=1e-6)
    np.testing.assert_array_equal(skinned.faces, BALL.faces)


def test_float_colours_of_a_glb_are_linear_light(tmp_path: Path) -> None:
    """COLOR_0 of floats, with a material beside it and without: 0.5 of linear light is 188 / 255 on a screen."""
    grey = np.full((len(BALL.vertices), 3), 188, np.uint8)
    write_animated_glb(
        tmp_path / "own.glb", BALL.vertices[None].astype(np.float32), BALL.faces.astype(np.int32), grey, np.zeros(1)
    )
    document, data = load_glb(tmp_path / "own.glb")
    primitive = document["meshes"][0]["primitives"][0]
    accessor = document["accessors"][primitive["attributes"]["COLOR_0"]]
    assert accessor["componentType"] == FLOAT
    start = document["bufferViews"][accessor["bufferView"]]["byteOffset"]
    half = np.full((len(BALL.vertices), 4), [0.5, 0.5, 0.5, 1.0], "<f4").tobytes()
    data = data[:start] + half + data[start + len(half) :]
    document["asset"]["generator"] = "another program"
    for material in (True, False):
        if not material:
            del primitive["material"]
        text = json.dumps(document).encode()
        text += b" " * (-len(text) % 4)
        head = struct.pack("<III", 0x46546C67, 2, 28 + len(text) + len(data))
        chunks = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(data), 0x004E4942) + data
        (tmp_path / "other.glb").write_bytes(head + chunks)
        mesh = read_mesh(tmp_path / "other.glb")
        assert mesh.vertex_colors is not None and np.unique(mesh.vertex_colors).tolist() == [188], material


def test_vertex_colours_of_a_glb_are_linear_light(tmp_path: Path) -> None:
    part = trimesh.Trimesh(BALL.vertices, BALL.faces, process=False)
    part.visual = trimesh.visual.ColorVisuals(
        part, vertex_colors=np.tile([128, 128, 128, 255], (len(part.vertices), 1))
    )
    part.export(tmp_path / "half.glb")
    mesh = read_mesh(tmp_path / "half.glb")
    assert mesh.vertex_colors is not None
    # 128 / 255 of linear light is 188 / 255 on a screen.
    assert np.unique(mesh.vertex_colors).tolist() == [188]
