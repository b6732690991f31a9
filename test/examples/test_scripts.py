"""The scripts of examples/ that need no ROS, run on a small clip; the launch file as far as it goes without ROS."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
from examples_folder import EXAMPLES, load_example

from attnchain_ros.files.animation import read_animated_glb


@pytest.mark.slow
def test_a_video_becomes_a_glb(clip_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "animation.glb"
    load_example("video_to_glb").main(str(clip_folder), str(out))
    animation = read_animated_glb(out)
    said = capsys.readouterr().out
    assert animation.vertices.shape[0] == 7 and f"{out}: 7 frames of {animation.vertices.shape[1]} vertices" in said


def test_a_mesh_is_animated_and_its_parts_are_told_apart(
    clip_folder: Path,
    tiny_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import trimesh

    mesh = tmp_path / "two.ply"
    parts = [trimesh.creation.box(extents=(1, 1, 1)), trimesh.creation.icosphere(subdivisions=1)]
    parts[1].apply_translation([2.5, 0, 0])
    trimesh.util.concatenate(parts).export(mesh)
    monkeypatch.chdir(tmp_path)
    load_example("own_mesh").main(str(clip_folder), str(mesh), str(tiny_folder))
    animation = read_animated_glb(tmp_path / "own_mesh.glb")
    assert animation.vertices.shape[1] == len(parts[0].vertices) + len(parts[1].vertices)
    assert np.isfinite(animation.vertices).all()
    said = capsys.readouterr().out
    assert "part 0: 8 vertices, moved up to" in said and f"part 1: {len(parts[1].vertices)} vertices" in said


def test_the_launch_file_gives_arguments_that_ours_declares() -> None:
    """Its keys against the tables of launch/attnchain.launch.py; ROS's launch is not among the wheels."""
    ours = ast.parse((EXAMPLES.parent / "launch" / "attnchain.launch.py").read_text("utf-8"))
    declared: set[str] = set()
    for node in ours.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            declared |= {ast.literal_eval(key) for key in node.value.keys if key is not None}
    example = ast.parse((EXAMPLES / "beside_a_camera.launch.py").read_text("utf-8"))
    given = [
        {ast.literal_eval(key) for key in node.keys if key is not None}
        for node in ast.walk(example)
        if isinstance(node, ast.Dict) and len(node.keys) == 3
    ]
    assert given == [{"image", "camera_info", "foreground"}] and given[0] <= declared
