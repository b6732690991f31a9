"""Python, torch, the device, memory, threads and OpenCV."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path

from .. import __version__
from ..threads import COUNTS, usable_cores
from .findings import Finding, State

OLDEST_PYTHON = (3, 10)
NEWEST_TESTED = (3, 13)
LEAST_FREE = 2 * 10**9
"""Bytes: the small checkpoint's windows, torch and the images of a queue."""
NEEDED = {
    "torch": "torch", "numpy": "numpy", "scipy": "scipy", "skimage": "scikit-image", "cv2": "opencv-python-headless",
    "trimesh": "trimesh", "fast_simplification": "fast-simplification", "safetensors": "safetensors",
    "rosbags": "rosbags", "av": "av", "tqdm": "tqdm", "yaml": "PyYAML", "huggingface_hub": "huggingface-hub",
}  # fmt: skip
"""What is imported -> the package of requirements/library.txt that brings it."""
EXTRAS = {"batch": ("ray",), "lab": ("matplotlib", "pandas"), "masks": ("transformers",), "view": ("viser",)}
_DRIVER = Path("/proc/driver/nvidia/version")
_SMI_S = 20.0


def look_at_python(version: tuple[int, ...] = tuple(sys.version_info[:2])) -> Finding:
    """The interpreter and this package.

    Args:
        version: of the interpreter.
    """
    text = f"{platform.python_version()} ({sys.executable}), attnchain_ros {__version__}, {platform.platform()}"
    if version < OLDEST_PYTHON:
        return Finding("python", State.FAIL, text, f"Python {_dotted(OLDEST_PYTHON)} or newer is needed")
    if version[:2] > NEWEST_TESTED:
        return Finding("python", State.WARN, text, f"tested up to Python {_dotted(NEWEST_TESTED)}")
    return Finding("python", State.OK, text)


def look_at_packages() -> Finding:
    """The libraries that everything needs, and which extras are there."""
    missing = [package for module, package in NEEDED.items() if not _there(module)]
    extras = ", ".join(
        f"{extra} {'yes' if all(map(_there, modules)) else 'no'}" for extra, modules in sorted(EXTRAS.items())
    )
    if missing:
        text = f"{', '.join(missing)} missing"
        return Finding("packages", State.FAIL, text, f"pip install {' '.join(missing)}, or bash scripts/setup")
    versions = tuple(f"{package} {_version(package)}" for package in NEEDED.values())
    return Finding("packages", State.OK, f"all {len(NEEDED)} there ({', '.join(versions)}); extras: {extras}")


def look_at_torch() -> Finding:
    """The version of torch, and for which kind of device it was built."""
    import torch

    built = torch.version.cuda
    return Finding("torch", State.OK, f"{torch.__version__}, {f'built for CUDA {built}' if built else 'CPU only'}")


def look_at_device(asked: str, driver: str | None = None) -> Finding:
    """What would compute.

    Args:
        asked: auto, cpu, cuda or cuda:N.
        driver: version of the NVIDIA driver, "" = there is none; None = look for it.
    Raises:
        ConfigError: no such device.
    """
    import torch

    from ..backbone import choose_device, choose_dtype

    driver = nvidia_driver() if driver is None else driver
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")  # torch says by a warning why it finds no device
        device = choose_device(asked)
        usable = torch.cuda.is_available()
    dtype = str(choose_dtype("auto", device)).removeprefix("torch.")
    if device.type == "cuda":
        from ..published.needs import device_memory

        memory = device_memory(device)
        text = f"{memory.name}, driver {driver or 'unknown'}, {_gigabytes(memory.free)} of {_gigabytes(memory.total)}"
        return Finding("device", State.OK, f"{text} free; {dtype}")
    text = f"the CPU ({processor_name()}); {dtype}"
    if asked != "cpu" and driver and not usable:
        why = f": {caught[0].message}" if caught else ""
        advice = (
            "torch cannot use it (a CPU build, or a driver older than its CUDA)"
            f"{why}: remove .venv and run bash scripts/setup here"
        )
        return Finding("device", State.WARN, f"{text}; an NVIDIA driver {driver} is there", advice)
    return Finding("device", State.OK, text + ("" if driver else "; no NVIDIA driver"))


def look_at_memory() -> Finding:
    """Memory of the machine, or of the container."""
    import torch

    from ..published.needs import device_memory

    memory = device_memory(torch.device("cpu"))
    text = f"{_gigabytes(memory.free)} free of {_gigabytes(memory.total)}"
    if memory.free < LEAST_FREE:
        advice = f"the small checkpoint wants {_gigabytes(LEAST_FREE)}: close other programs, or raise the limit"
        return Finding("memory", State.WARN, text, advice)
    return Finding("memory", State.OK, text)


def look_at_threads(environment: Mapping[str, str] | None = None) -> Finding:
    """Cores, threads, and whether threads that wait sleep.

    Args:
        environment: variables; None = this process's, in which ``threads.prepare`` has set what was not set.
    """
    import torch

    given = os.environ if environment is None else environment
    cores, count = usable_cores(), torch.get_num_threads()
    text = f"{cores} usable core{'' if cores == 1 else 's'}, torch computes with {count}"
    spinning = [f"{name}={given[name]}" for name, spins in _SPINS.items() if name in given and spins(given[name])]
    if spinning:
        advice = "leave them unset: threads that spin take the cores from a camera's driver"
        return Finding("threads", State.WARN, f"{text}; {', '.join(spinning)}", advice)
    if count > cores:
        names = " and ".join(name for name in COUNTS if name in given) or "--threads"
        return Finding("threads", State.WARN, text, f"lower {names}: threads beyond the cores hinder one another")
    return Finding("threads", State.OK, f"{text}; waiting threads sleep")


def _spins_for(value: str) -> bool:
    return value.strip() not in ("", "0")


_SPINS = {
    "OMP_WAIT_POLICY": lambda value: value.strip().upper() == "ACTIVE",
    "GOMP_SPINCOUNT": _spins_for,
    "KMP_BLOCKTIME": _spins_for,
}
"""Variable -> whether its value lets threads spin while they wait."""


def look_at_opencv() -> Finding:
    """OpenCV, and whether it reads videos."""
    import cv2

    if not cv2.videoio_registry.hasBackend(cv2.CAP_FFMPEG):
        advice = "videos cannot be read, images and bags can: pip install opencv-python-headless"
        return Finding("opencv", State.WARN, f"{cv2.__version__}, built without FFmpeg", advice)
    return Finding("opencv", State.OK, f"{cv2.__version__}, reads videos with FFmpeg")


def nvidia_driver(place: Path = _DRIVER) -> str:
    """Version of the NVIDIA driver, "" where there is none.

    Args:
        place: where the kernel module tells it.
    """
    command = shutil.which("nvidia-smi")
    if command is not None:
        words = [command, "--query-gpu=driver_version", "--format=csv,noheader"]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=_SMI_S, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout.strip().partition("\n")[0] if done.returncode == 0 else ""
    try:
        words = place.read_text(encoding="utf-8").split()
    except OSError:
        return ""
    return next((word for word in words if word.replace(".", "").isdigit() and "." in word), "")


def processor_name(place: Path = Path("/proc/cpuinfo")) -> str:
    """What the processor calls itself, or its architecture."""
    try:
        lines = place.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.lower().startswith("model name"))
    return next(names, "") or platform.machine()


def _there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _version(package: str) -> str:
    """Of an installed package; a distribution's own build of OpenCV has other names than pip's."""
    for name in (package, package.removesuffix("-headless")):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "of the system"


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
