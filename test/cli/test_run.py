"""``run`` and ``replay`` from the command line to the files, on a tiny random checkpoint."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin, Writer

from attnchain_ros.cli import main
from attnchain_ros.errors import MaskError
from attnchain_ros.files.animation import read_animated_glb
from attnchain_ros.files.bag_types import bag_types
from attnchain_ros.files.meshes import read_mesh

CLIP_VARIABLE = "ATTNCHAIN_TEST_CLIP"
REAL_CLIP = Path(os.environ.get(CLIP_VARIABLE, str(Path(__file__).resolve().parents[3] / "shared" / "clips" / "camel")))


def _run(tiny_folder: Path, anchor_file: Path, quick: list[str], *words: str) -> int:
    return main([*words, "--weights", str(tiny_folder), "--anchor", str(anchor_file), "--device", "cpu", *quick])


def test_a_folder_of_images_becomes_all_the_files(
    tmp_path: Path, clip_folder: Path, tiny_folder: Path, anchor_file: Path, quick: list[str], capsys: Any
) -> None:
    out = tmp_path / "out"
    words = ["run", str(clip_folder), "--out", str(out), "--per-frame-meshes", "--intrinsics", "60,60,23.5,19.5"]
    assert _run(tiny_folder, anchor_file, quick, *words) == 0
    said = capsys.readouterr().out
    assert "window 2/2" in said and "7 frames in 2 windows" in said and f"to {out}" in said
    found = read_animated_glb(out / "animation.glb")
    rest = read_mesh(anchor_file)
    assert found.vertices.shape == (7, *rest.vertices.shape)
    np.testing.assert_array_equal(found.faces, rest.faces)
    # The animation is in the frame and units of the given mesh, whose first frame it starts from.
    assert np.abs(found.vertices[0] - rest.vertices).max() < 0.5
    summary = json.loads((out / "summary.json").read_text())
    assert summary["config"]["surface"]["grid"] == 16 and summary["frames"] == 7 and summary["intrinsics_given"]
    assert len(list((out / "meshes").iterdir())) == 7
    assert cv2.imread(str(out / "contact_sheet.png")) is not None


def test_max_windows_and_stride(
    tmp_path: Path, clip_folder: Path, tiny_folder: Path, anchor_file: Path, quick: list[str]
) -> None:
    words = ["run", str(clip_folder), "--out", str(tmp_path), "--stride", "2", "--max-windows", "1"]
    assert _run(tiny_folder, anchor_file, quick, *words) == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["frames"] == 4 and summary["duration_s"] == pytest.approx(6 / 30)


def _interrupting(monkeypatch: pytest.MonkeyPatch, when: int, action: Any) -> None:
    """Call ``action`` when the rollout starts on window ``when``."""
    from attnchain_ros.rollout import Rollout

    plain = Rollout.run

    def run(self: Any, window: Any, *rest: Any) -> Any:
        self.started = getattr(self, "started", 0) + 1
        if self.started == when:
            action()
        return plain(self, window, *rest)

    monkeypatch.setattr(Rollout, "run", run)


def test_ctrl_c_writes_what_is_finished(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path, clip_folder: Path, tiny_folder: Path, anchor_file: Path, quick: list[str],
) -> None:  # fmt: skip
    _interrupting(monkeypatch, 2, lambda: os.kill(os.getpid(), signal.SIGINT))
    before = signal.getsignal(signal.SIGINT)
    assert _run(tiny_folder, anchor_file, quick, "run", str(clip_folder), "--out", str(tmp_path)) == 130
    assert signal.getsignal(signal.SIGINT) is before
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["frames"] == 4 and "stopped by Ctrl-C after 1 window" in summary["notes"]
    assert len(read_animated_glb(tmp_path / "animation.glb").vertices) == 4


def test_a_window_that_fails_does_not_lose_the_ones_before(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path, clip_folder: Path, tiny_folder: Path, anchor_file: Path, quick: list[str], capsys: Any,
) -> None:  # fmt: skip
    def fail() -> None:
        raise MaskError("the mask is empty")

    _interrupting(monkeypatch, 2, fail)
    assert _run(tiny_folder, anchor_file, quick, "run", str(clip_folder), "--out", str(tmp_path)) == 2
    assert "attnchain: error: the mask is empty" in capsys.readouterr().err
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["frames"] == 4 and "window 1 failed: the mask is empty" in summary["notes"]


def test_weights_that_are_not_there_are_a_failure_and_leave_no_files(
    tmp_path: Path, clip_folder: Path, capsys: Any
) -> None:
    words = ["run", str(clip_folder), "--out", str(tmp_path / "out"), "--weights", str(tmp_path / "none")]
    assert main(words) == 1
    assert "no checkpoint folder" in capsys.readouterr().err and not (tmp_path / "out").exists()


def _bag(path: Path, clip_folder: Path) -> Path:
    """The clip as a bag of rgba8 images."""
    store = bag_types()
    types = store.types
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection("/cam/image", "sensor_msgs/msg/Image", typestore=store)
        for number, file in enumerate(sorted(clip_folder.iterdir())):
            image = cv2.cvtColor(cv2.imread(str(file), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA)
            time = types["builtin_interfaces/msg/Time"](sec=100, nanosec=number * 50_000_000)
            header = types["std_msgs/msg/Header"](stamp=time, frame_id="cam")
            message = types["sensor_msgs/msg/Image"](
                header=header, height=40, width=48, encoding="rgba8", is_bigendian=0, step=192, data=image.ravel()
            )
            stamp = 100 * 10**9 + number * 50_000_000
            writer.write(connection, stamp, bytes(store.serialize_cdr(message, "sensor_msgs/msg/Image")))
    return path


def test_replay_gives_the_same_bytes_twice(
    tmp_path: Path, clip_folder: Path, tiny_folder: Path, anchor_file: Path, quick: list[str]
) -> None:
    bag = _bag(tmp_path / "bag", clip_folder)
    for side in ("a", "b"):
        assert _run(tiny_folder, anchor_file, quick, "replay", str(bag), "--out", str(tmp_path / side)) == 0
    same = ["animation.glb", "tracks.npz", "cameras.npz", "results_bag/results_bag.mcap", "results_bag/metadata.yaml"]
    for name in same:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    counts: dict[str, int] = {}
    with AnyReader([tmp_path / "a" / "results_bag"]) as reader:
        for connection, stamp, _ in reader.messages():
            counts[connection.topic] = counts.get(connection.topic, 0) + 1
            assert 100 * 10**9 <= stamp <= 100 * 10**9 + 300_000_000
    assert counts["/attnchain/mesh"] == counts["/attnchain/tracks_window"] == 2
    assert counts["/attnchain/tracks"] == 7


@pytest.mark.slow
@pytest.mark.skipif(not REAL_CLIP.is_dir(), reason=f"no real clip: {CLIP_VARIABLE} may name a folder of images")
def test_a_real_clip_on_the_embedded_checkpoint(tmp_path: Path) -> None:
    assert main(["run", str(REAL_CLIP), "--out", str(tmp_path), "--device", "cpu"]) == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    pictures = [path for path in REAL_CLIP.iterdir() if path.suffix in (".png", ".jpg")]
    assert summary["frames"] == len(pictures) and summary["vertices"] > 500
    animation = read_animated_glb(tmp_path / "animation.glb")
    assert len(animation.vertices) == len(pictures) and np.isfinite(animation.vertices).all()
