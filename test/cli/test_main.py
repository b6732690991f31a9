"""Verbs, exit codes and one-line errors."""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from attnchain_ros.cli import arguments, fake_camera, main
from attnchain_ros.cli import main as main_module
from attnchain_ros.cli.main import VERBS
from attnchain_ros.config import RolloutConfig
from attnchain_ros.errors import AttnChainError, ConfigError, MaskError
from attnchain_ros.stream.config import StreamConfig
from attnchain_ros.stream.frame import Frame
from attnchain_ros.stream.source import FrameSource
from attnchain_ros.stream.windows import clip_frames


def _use(monkeypatch: pytest.MonkeyPatch, action: object) -> None:
    """Let the verb ``parity`` do ``action`` instead."""
    verb = SimpleNamespace(add_arguments=lambda parser: None, check_arguments=lambda args: None, run=action)
    monkeypatch.setattr(sys.modules[main_module.__module__], "_load", lambda name: verb)


def _raise(error: BaseException) -> object:
    def action(args: argparse.Namespace) -> int:
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (MaskError("the mask is\n   empty"), 2, "attnchain: error: the mask is empty\n"),
        (AttnChainError("no surface"), 1, "attnchain: error: no surface\n"),
        (
            OSError(28, "No space left on device", "out/a.glb"),
            1,
            "attnchain: error: out/a.glb: No space left on device\n",
        ),
        (KeyboardInterrupt(), 130, "attnchain: interrupted\n"),
        (
            MemoryError("Unable to allocate 9 TiB"),
            1,
            "attnchain: error: 'attnchain parity' needs more memory than there is: Unable to allocate 9 TiB\n",
        ),
    ],
)
def test_errors_are_one_line_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, text: str
) -> None:
    _use(monkeypatch, _raise(error))
    assert main(["parity"]) == code
    assert capsys.readouterr().err == text


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    _use(monkeypatch, _raise(MaskError("empty")))
    for words in (["parity", "--debug"], ["--debug", "parity"]):
        with pytest.raises(MaskError):
            main(words)


def test_a_fault_of_our_own_is_one_line_with_a_report(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _use(monkeypatch, _raise(ZeroDivisionError("by\nzero")))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert main(["parity", "-v"]) == 70
    (report,) = tmp_path.iterdir()
    said = "attnchain: error: 'attnchain parity -v' ended with ZeroDivisionError: by zero. This is a fault of "
    assert capsys.readouterr().err == f"{said}attnchain_ros, please report it with {report}\n"
    text = report.read_text()
    assert "'attnchain parity -v'" in text and "Traceback (most recent" in text and "in action" in text
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    assert main(["parity"]) == 70
    assert capsys.readouterr().err.endswith("please report it with what --debug shows\n")
    with pytest.raises(ZeroDivisionError):
        main(["parity", "--debug"])


def test_nobody_reads_what_is_written() -> None:
    """``attnchain ... | head -1``: neither a traceback nor a complaint of Python's own at its end."""
    code = (
        "import sys; from types import SimpleNamespace as N; from attnchain_ros.cli import main, main as m\n"
        "def run(args):\n    for _ in range(100000): print('x' * 100)\n    return 0\n"
        "sys.modules[m.__module__]._load = lambda name: N(add_arguments=id, check_arguments=id, run=run)\n"
        "sys.exit(main(['parity']))"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None and child.stderr is not None
    assert child.stdout.readline().startswith(b"x")
    child.stdout.close()
    said = child.stderr.read()
    child.stderr.close()
    assert child.wait(120) == 141 and said == b""


def test_the_exit_code_of_a_verb_is_passed_on_and_logging_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    _use(monkeypatch, lambda args: 7)
    logger = logging.getLogger("attnchain_ros")
    before = (logger.level, list(logger.handlers))
    assert main(["parity"]) == 7
    assert (logger.level, list(logger.handlers)) == before


def test_help_lists_every_verb_and_wrong_words_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(verb in text for verb in VERBS)
    assert main([]) == 2
    assert main(["fly"]) == 2
    assert "invalid choice: 'fly'" in capsys.readouterr().err
    assert main(["run"]) == 2
    assert "--out" in capsys.readouterr().err


def test_a_verb_that_cannot_be_imported_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(VERBS, "demo", ("lab.cli.no_such_module", "x"))
    assert main(["demo"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("attnchain: error: 'attnchain demo' cannot start: No module named") and err.count("\n") == 1


def test_help_imports_neither_torch_nor_ros() -> None:
    code = (
        "import sys; from attnchain_ros.cli import main; main(['run', '--help']); "
        "bad = {'torch', 'rclpy', 'transformers'} & set(sys.modules); sys.exit(f'imported {bad}' if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_settings_take_the_types_of_the_options() -> None:
    texts = ["sampling.steps=7", "camera.estimate=False", "sampling.shift=2", "readout.layers=1,2", "frames=8"]
    found = arguments.parse_settings(texts)
    assert found == {
        "sampling.steps": 7,
        "camera.estimate": False,
        "sampling.shift": 2.0,
        "readout.layers": "1,2",
        "frames": 8,
    }
    assert isinstance(found["sampling.shift"], float)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("sampling.steps", "wanted name=value"),
        ("sampling.step=4", "unknown option 'sampling.step'; there are sampling.stage0_steps, sampling.steps"),
        ("sampling.steps=four", "wanted a whole number"),
        ("sampling.steps=0", "the least allowed is 1"),
        ("sampling.shift=x", "wanted a number"),
        ("camera.estimate=1", "wanted true or false"),
        ("tracks.route=sea", "wanted one of .*mesh, patch"),
    ],
)
def test_wrong_settings_say_why(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        arguments.parse_settings([text])


def test_numbers_from_text() -> None:
    assert arguments.parse_intrinsics(None) is None
    np.testing.assert_array_equal(arguments.parse_intrinsics("5,6,1,2"), [[5, 0, 1], [0, 6, 2], [0, 0, 1]])
    assert arguments.parse_box("1,2,30,40") == (1, 2, 30, 40)
    for text in ("1,2,3", "1,2,3,x", "0,5,1,1", "nan,5,1,1"):
        with pytest.raises(ConfigError, match="--intrinsics"):
            arguments.parse_intrinsics(text)
    with pytest.raises(ConfigError, match="whole pixels"):
        arguments.parse_box("1,2,3.5,4")


def test_a_synthetic_clip_has_exact_masks_and_a_camera() -> None:
    source = arguments.synthetic_source("3")
    first = next(event for event in source.events() if isinstance(event, Frame))
    assert source.count == 61 and first.image.shape == (256, 256, 3)
    assert first.mask is not None and 0.02 < first.mask.mean() < 0.6
    assert source.intrinsics is not None and source.intrinsics.shape == (3, 3)
    with pytest.raises(ConfigError, match="synthetic:x: wanted the number"):
        arguments.synthetic_source("x")


def _camera_arguments(clip_folder: Path, *more: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    fake_camera.add_arguments(parser)
    return parser.parse_args([str(clip_folder), *more])


def test_fake_camera_hands_the_clip_to_the_node(monkeypatch: pytest.MonkeyPatch, clip_folder: Path) -> None:
    seen: dict[str, object] = {}

    def publish(source: FrameSource, config: StreamConfig, **options: object) -> int:
        seen.update(options, frames=len(list(clip_frames(source, config))))
        return 0

    stand_in = SimpleNamespace(run=publish)
    monkeypatch.setitem(sys.modules, "attnchain_ros.node.fake_camera", stand_in)
    monkeypatch.setattr("attnchain_ros.node.fake_camera", stand_in, raising=False)
    args = _camera_arguments(
        clip_folder, "--rate", "20", "--qos", "reliable", "--loop", "--intrinsics", "50,50,23.5,19.5"
    )
    fake_camera.check_arguments(args)
    assert fake_camera.run(args) == 0
    matrix = seen.pop("intrinsics")
    assert isinstance(matrix, np.ndarray) and matrix[0].tolist() == [50, 0, 23.5]
    assert seen == {
        "frames": 7, "rate_hz": 20.0, "reliable": True, "loop": True, "namespace": "",
        "frame_id": "camera_optical_frame", "wait_for_subscriber": True,
    }  # fmt: skip


def test_fake_camera_refuses_impossible_rates(clip_folder: Path) -> None:
    with pytest.raises(ConfigError, match="--rate is 0"):
        fake_camera.check_arguments(_camera_arguments(clip_folder, "--rate", "0"))
    with pytest.raises(ConfigError, match="--frame-id is empty"):
        fake_camera.check_arguments(_camera_arguments(clip_folder, "--frame-id", ""))


def test_every_option_can_be_set() -> None:
    from attnchain_ros.config import flatten

    for name, (_, value) in flatten(RolloutConfig()).items():
        assert arguments.parse_settings([f"{name}={value}"]) == {name: value}
