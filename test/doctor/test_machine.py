"""Python, torch, device, memory, threads, OpenCV: what is said of a machine that lacks something."""

from __future__ import annotations

from pathlib import Path

import pytest

from attnchain_ros.backbone import default_weights
from attnchain_ros.doctor import machine, weights
from attnchain_ros.doctor.findings import State
from attnchain_ros.published import needs


def test_a_python_of_the_wrong_age() -> None:
    assert machine.look_at_python((3, 9)).state is State.FAIL and "3.10" in machine.look_at_python((3, 9)).advice
    assert machine.look_at_python((3, 10)).state is State.OK
    assert machine.look_at_python((3, 13)).state is State.OK
    assert machine.look_at_python((3, 14)).state is State.WARN
    assert machine.look_at_python().state is State.OK


def test_missing_libraries_are_named_by_the_package_that_brings_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.look_at_packages().state is State.OK
    pins = (Path(__file__).parents[2] / "requirements" / "library.txt").read_text(encoding="utf-8")
    listed = {line.partition("==")[0] for line in pins.splitlines() if "==" in line}
    assert set(machine.NEEDED.values()) == listed
    monkeypatch.setattr(machine, "_there", lambda module: module not in ("skimage", "pandas"))
    found = machine.look_at_packages()
    assert found.state is State.FAIL and found.text == "scikit-image missing" and "scikit-image" in found.advice


def test_a_driver_that_torch_cannot_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    found = machine.look_at_device("auto", driver="550.1")
    assert found.state is State.WARN and "550.1" in found.text and "scripts/setup" in found.advice
    assert machine.look_at_device("auto", driver="").state is State.OK
    assert machine.look_at_device("cpu", driver="550.1").state is State.OK, "the CPU was asked for"


def test_the_driver_is_read_without_its_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.nvidia_driver(tmp_path / "none") == ""
    (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat\nGCC 12.2.0\n")
    assert machine.nvidia_driver(tmp_path / "version") == "535.104.05"
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 560.28.03\n")
    tool.chmod(0o755)
    assert machine.nvidia_driver(tmp_path / "version") == "560.28.03"
    tool.write_text("#!/bin/sh\necho NVIDIA-SMI has failed\nexit 9\n")
    assert machine.nvidia_driver(tmp_path / "version") == ""


def test_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.look_at_memory().state is State.OK
    monkeypatch.setattr(needs, "device_memory", lambda device: needs.FreeMemory("the CPU", 10**9, 4 * 10**9))
    found = machine.look_at_memory()
    assert found.state is State.WARN and found.text == "1.0 GB free of 4.0 GB" and "2.0 GB" in found.advice


@pytest.mark.parametrize(
    "setting", [("OMP_WAIT_POLICY", "active"), ("GOMP_SPINCOUNT", "1000"), ("KMP_BLOCKTIME", "200")]
)
def test_threads_that_spin(setting: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.get_num_threads", lambda: 1)
    assert machine.look_at_threads({"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}).state is State.OK
    found = machine.look_at_threads(dict([setting]))
    assert found.state is State.WARN and "=".join(setting) in found.text
    monkeypatch.setattr("torch.get_num_threads", lambda: 10**4)
    assert "OMP_NUM_THREADS" in machine.look_at_threads({"OMP_NUM_THREADS": "10000"}).advice


def test_opencv_without_videos(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.look_at_opencv().state is State.OK
    monkeypatch.setattr("cv2.videoio_registry.hasBackend", lambda backend: False)
    assert machine.look_at_opencv().state is State.WARN


def test_weights_whole_missing_and_damaged(tiny_folder: Path, tmp_path: Path) -> None:
    own = weights.look_at_weights(None, "cpu")
    assert (
        own.state is State.OK and own.text.startswith("the package's small checkpoint") and "would run: yes" in own.text
    )
    assert weights.look_at_weights(default_weights(), "cpu").text.startswith(str(default_weights()))
    assert weights.look_at_weights(tiny_folder, "cpu").state is State.OK
    nowhere = weights.look_at_weights(tmp_path / "no", "cpu")
    assert nowhere.state is State.FAIL and "there is no folder" in nowhere.text and "fetch" in nowhere.advice
    empty = weights.look_at_weights(tmp_path, "cpu")
    assert empty.state is State.FAIL and "would run: no" in empty.text
    assert any("missing" in line for line in empty.details)
