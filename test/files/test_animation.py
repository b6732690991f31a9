"""The animated GLB: values, structure, bytes, and what other readers make of it."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import trimesh

from attnchain_ros.errors import ConfigError, FileFormatError, InputError, ShapeError
from attnchain_ros.files.animation import (
    keyframe_numbers,
    read_animated_glb,
    write_animated_glb,
)
from attnchain_ros.files.glb import check_glb


def _ball(frames: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A ball that wobbles and turns: vertices, faces, colours, times."""
    ball = trimesh.creation.icosphere(subdivisions=2)
    phase = np.linspace(0, 1.3, frames)[:, None]
    wave = 1 + 0.3 * np.sin(3 * ball.vertices[:, 1] + 2 * phase)
    vertices = (ball.vertices * wave[..., None] + 0.2 * phase[..., None]).astype(np.float32)
    colours = np.random.default_rng(0).integers(0, 256, (len(ball.vertices), 3), dtype=np.uint8)
    return vertices, ball.faces.astype(np.int32), colours, 5.0 + np.arange(frames) / 30


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    vertices, faces, colours, times = _ball()
    path = tmp_path / "ball.glb"
    write_animated_glb(path, vertices, faces, colours, times)
    found = read_animated_glb(path)
    # float32 displacements: one rounding of the difference and one of the sum, 2 ulp of values below 2.
    np.testing.assert_allclose(found.vertices, vertices, atol=5e-7, rtol=0)
    np.testing.assert_array_equal(found.faces, faces)
    np.testing.assert_array_equal(found.vertex_colors, colours)
    np.testing.assert_allclose(found.times_s, times - 5.0, atol=1e-6)
    for frame in range(len(vertices)):
        outward = trimesh.Trimesh(vertices[frame], faces, process=False)
        assert found.normals is not None
        np.testing.assert_allclose(np.linalg.norm(found.normals[frame], axis=1), 1, atol=1e-5)
        share = (found.normals[frame] * (vertices[frame] - outward.centroid)).sum(axis=1)
        assert share.min() > 0, "normals point outwards in every frame"
    check_glb(path)


def test_another_reader_sees_the_first_frame(tmp_path: Path) -> None:
    vertices, faces, colours, times = _ball()
    write_animated_glb(tmp_path / "ball.glb", vertices, faces, colours, times)
    scene = trimesh.load_scene(str(tmp_path / "ball.glb"), process=False)
    (part,) = scene.geometry.values()
    np.testing.assert_array_equal(np.asarray(part.vertices, np.float32), vertices[0])
    np.testing.assert_array_equal(part.faces, faces)
    linear = (colours / 255.0) ** 2.2
    # The exact curve and the power 2.2 differ by less than 0.01.
    np.testing.assert_allclose(part.visual.vertex_attributes["color"][:, :3], linear, atol=0.01)


def test_halfway_between_key_frames_is_the_middle() -> None:
    """LINEAR weights between unit vectors blend neighbouring frames and nothing else."""
    weights = np.eye(4, 3, k=-1)
    middle = (weights[1] + weights[2]) / 2
    base, now, then = 1.0, 2.0, 5.0
    assert base + middle @ np.array([now - base, then - base, 100.0]) == (now + then) / 2


@pytest.mark.parametrize("options", [{}, {"normals": False}, {"unlit": True}])
def test_same_input_same_bytes(tmp_path: Path, options: dict[str, bool]) -> None:
    vertices, faces, colours, times = _ball()
    paths = [tmp_path / "a.glb", tmp_path / "b.glb"]
    for path in paths:
        write_animated_glb(path, vertices, faces, colours, times, **options)
        check_glb(path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    document = check_glb(paths[0])
    assert ("KHR_materials_unlit" in document.get("extensionsUsed", [])) == options.get("unlit", False)


def test_one_frame_and_no_colours(tmp_path: Path) -> None:
    vertices, faces, _, _ = _ball(1)
    write_animated_glb(tmp_path / "still.glb", vertices, faces, None, np.zeros(1))
    found = read_animated_glb(tmp_path / "still.glb")
    np.testing.assert_array_equal(found.vertices, vertices)
    assert found.vertex_colors is None
    assert "animations" not in check_glb(tmp_path / "still.glb")


def test_a_memory_map_and_a_selection_of_frames(tmp_path: Path) -> None:
    vertices, faces, colours, times = _ball(9)
    vertices.tofile(tmp_path / "spool")
    mapped = np.memmap(tmp_path / "spool", np.float32, "r", shape=vertices.shape)
    write_animated_glb(tmp_path / "few.glb", mapped, faces, colours, times, max_frames=5)
    found = read_animated_glb(tmp_path / "few.glb")
    np.testing.assert_allclose(found.vertices, vertices[::2], atol=5e-7, rtol=0)
    np.testing.assert_allclose(found.times_s, np.arange(0, 9, 2) / 30, atol=1e-6)
    assert keyframe_numbers(9, 2).tolist() == [0, 8]
    assert keyframe_numbers(9, None).tolist() == list(range(9))
    with pytest.raises(ConfigError, match="max_frames is 1"):
        keyframe_numbers(9, 1)


def test_bad_input_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    vertices, faces, colours, times = _ball(3)
    path = tmp_path / "bad.glb"
    with pytest.raises(ShapeError, match="times_s has shape"):
        write_animated_glb(path, vertices, faces, colours, times[:2])
    with pytest.raises(ShapeError, match="vertex_colors"):
        write_animated_glb(path, vertices, faces, colours[:-1], times)
    with pytest.raises(InputError, match="increasing"):
        write_animated_glb(path, vertices, faces, colours, times[::-1])
    with pytest.raises(InputError, match="faces use vertices 0 to 999"):
        write_animated_glb(path, vertices, np.where(faces == 5, 999, faces), colours, times)
    vertices[1, 7, 2] = np.nan
    with pytest.raises(InputError, match="vertices of frame 1 are not finite"):
        write_animated_glb(path, vertices, faces, colours, times)
    assert list(tmp_path.iterdir()) == []


def _broken(path: Path, change: str) -> None:
    """Change one number in the JSON chunk and write the file again with right lengths."""
    raw = path.read_bytes()
    length = struct.unpack_from("<I", raw, 12)[0]
    document = json.loads(raw[20 : 20 + length])
    if change == "view outside":
        document["bufferViews"][-1]["byteLength"] += 400
    elif change == "accessor outside":
        document["accessors"][1]["count"] += 1
    elif change == "misaligned":
        document["accessors"][0]["byteOffset"] = 2
        document["accessors"][0]["count"] -= 3
    elif change == "bounds":
        document["accessors"][1]["max"][0] += 0.5
    elif change == "weights":
        document["accessors"][-1]["count"] -= 1
    elif change == "missing":
        del document["meshes"][0]["primitives"][0]["attributes"]["POSITION"]
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    rest = raw[20 + length :]
    path.write_bytes(
        struct.pack("<IIIII", 0x46546C67, 2, 20 + len(text) + len(rest), len(text), 0x4E4F534A) + text + rest
    )


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("view outside", "buffer view 14 inside the buffer"),
        ("accessor outside", "accessor 1 inside its view"),
        ("misaligned", "accessor 0 on a multiple"),
        ("bounds", "min and max of accessor 1"),
        ("weights", "one weight per target"),
        ("missing", "missing or misplaced 'POSITION'"),
    ],
)
def test_the_check_finds_every_broken_rule(tmp_path: Path, change: str, rule: str) -> None:
    path = tmp_path / "ball.glb"
    write_animated_glb(path, *_ball(5))
    count = len(check_glb(path)["bufferViews"])
    _broken(path, change)
    with pytest.raises(FileFormatError, match=rule.replace("14", str(count - 1))):
        check_glb(path)


def test_what_is_no_glb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.glb"
    with pytest.raises(FileFormatError, match="does not exist"):
        read_animated_glb(path)
    path.write_bytes(b"PNG" * 20)
    with pytest.raises(FileFormatError, match="not a GLB"):
        read_animated_glb(path)
    write_animated_glb(path, *_ball(2))
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(FileFormatError, match="announced"):
        read_animated_glb(path)
