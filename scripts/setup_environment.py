"""Make the virtual environment that everything here runs in: called by ``scripts/setup``, standard library only.

Two stages, each skipped while its inputs (hashed into a stamp) have not changed: ``packages`` installs the pinned
wheels and this checkout (editable), ``messages`` builds msg/ and srv/ against the ROS 2 wheels with CMake. Where a
ROS 2 distribution is sourced its rclpy is used and the messages are left to ``colcon build``.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
DISTROS = ("kilted", "jazzy")
TAIL_LINES = 30
# Marks a folder as made by this script, so that no other is ever cleared.
MARKER = "attnchain-environment"


class SetupError(Exception):
    """What is wrong and what to do about it, for the person at the terminal."""


class Environment:
    """One virtual environment: where it is, what it is for, and its log."""

    def __init__(self, folder: Path, distro: str, torch: str) -> None:
        self.folder = folder
        self.distro = distro
        self.torch = torch
        self.python = folder / "bin" / "python"
        self.log_path = folder / "setup.log"
        self.distribution = sourced_distribution()

    def variables(self) -> dict[str, str]:
        """The environment variables of every command run here."""
        variables = dict(os.environ)
        # Set by the wheels' start-up code for its own environment; inherited from another one it names wrong folders.
        if variables.pop("_ROS_WHEELS_BOOTSTRAP_COMPLETE", None) is not None:
            variables.pop("LD_LIBRARY_PATH", None)
        for name in ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV", "PYTHONHOME"):
            variables.pop(name, None)
        variables["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
        variables["PIP_NO_INPUT"] = "1"
        variables["PATH"] = f"{self.folder / 'bin'}{os.pathsep}{variables.get('PATH', os.defpath)}"
        variables["VIRTUAL_ENV"] = str(self.folder)
        if self.distribution is None:
            variables["AMENT_PREFIX_PATH"] = str(self.folder)
            variables["CMAKE_PREFIX_PATH"] = str(self.folder)
        return variables

    def try_run(self, command: Sequence[str | Path]) -> bool:
        """Run a command with its output in the log; True when it succeeded."""
        with self.log_path.open("a", encoding="utf-8", errors="replace") as log:
            log.write(f"\n$ {' '.join(str(part) for part in command)}\n")
            log.flush()
            done = subprocess.run(
                [str(part) for part in command],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=self.variables(),
                cwd=ROOT,
                check=False,
            )
            log.write(f"[exit status {done.returncode}]\n")
        return done.returncode == 0

    def run(self, command: Sequence[str | Path], what: str, advice: str = "") -> None:
        """Run a command; on failure show the end of the log."""
        if self.try_run(command):
            return
        lines = self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        tail = "\n".join(f"  | {line}" for line in lines[-TAIL_LINES:])
        message = f"{what} failed. The last lines of {self.log_path}:\n{tail}"
        raise SetupError(f"{message}\n{advice}" if advice else message)

    def pip(self, arguments: Sequence[str | Path], what: str) -> None:
        """Run this environment's pip."""
        advice = "If the network or the package index was at fault, run the same command again: it goes on from here."
        self.run([*self.pip_install(), *arguments], what, advice)

    def pip_install(self) -> list[str | Path]:
        """The start of a command that installs; Python compiles what it imports later, which is a small part."""
        return [self.python, "-m", "pip", "install", "--progress-bar", "off", "--no-compile"]

    def site_packages(self) -> Path:
        """The folder that this environment's Python imports installed packages from."""
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return self.folder / "lib" / version / "site-packages"


def say(text: str) -> None:
    """One line of progress, on stderr: stdout carries only what --print-python asks for."""
    sys.stderr.write(f"setup: {text}\n")
    sys.stderr.flush()


def sourced_distribution() -> str | None:
    """The name of the ROS 2 distribution whose rclpy this Python can import, or None."""
    name = os.environ.get("ROS_DISTRO")
    if not name or importlib.util.find_spec("rclpy") is None:
        return None
    return name


def check_system(environment: Environment) -> None:
    """Refuse, with one list of all that is missing, before anything is downloaded."""
    missing: list[str] = []
    packages: list[str] = []
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"):
        missing.append(f"Linux on x86_64 or aarch64 (this is {sys.platform} on {platform.machine()})")
    if not (3, 10) <= sys.version_info[:2] <= (3, 13):
        missing.append(f"Python 3.10 to 3.13 (this is {platform.python_version()}: {sys.executable})")
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        missing.append("the Python module venv with ensurepip")
        packages.append("python3-venv")
    if environment.distribution is None:
        compilers = ((os.environ.get("CC"), "cc", "gcc", "clang"), (os.environ.get("CXX"), "c++", "g++", "clang++"))
        for language, names in zip(("C", "C++"), compilers, strict=True):
            if not any(name and shutil.which(name.split()[0]) for name in names):
                missing.append(f"a {language} compiler (to build the ROS 2 messages)")
                packages.append("build-essential")
        if not (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file():
            missing.append(f"Python.h of {sys.executable} (looked in {sysconfig.get_paths()['include']})")
            packages.append("python3-dev")
    if missing:
        lines = ["this machine lacks:", *(f"  - {item}" for item in missing)]
        if packages:
            lines.append(f"get it with: sudo apt-get install {' '.join(dict.fromkeys(packages))}")
        raise SetupError("\n".join(lines))


def digest(paths: Iterable[Path], *words: str) -> str:
    """A hash over files (names and contents) and words: equal hash, nothing to do."""
    total = hashlib.sha256()
    for word in words:
        total.update(f"{word}\0".encode())
    for path in sorted(paths):
        total.update(f"{path.relative_to(ROOT)}\0".encode())
        total.update(path.read_bytes())
        total.update(b"\0")
    return total.hexdigest()


def requirement_files(environment: Environment) -> list[Path]:
    """The pinned lists that this environment installs."""
    names = ["library", "lab", "development", "docs", "build"]
    if environment.distribution is None:
        names.append(f"ros-{environment.distro}")
    return [ROOT / "requirements" / f"{name}.txt" for name in names]


def packages_stamp(environment: Environment) -> str:
    """Stamp of the stage ``packages``."""
    inputs = [*requirement_files(environment), ROOT / "setup.py", ROOT / "package.xml", Path(__file__).resolve()]
    words = (platform.python_version(), sys.base_prefix, environment.torch, str(environment.distribution), str(ROOT))
    return digest(inputs, *words)


def messages_stamp(environment: Environment) -> str:
    """Stamp of the stage ``messages``; it contains the packages' stamp, since their versions go into the build."""
    folders = (ROOT / "msg", ROOT / "srv", ROOT / "scripts" / "interfaces")
    inputs = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return digest([*inputs, ROOT / "CMakeLists.txt"], packages_stamp(environment))


def is_current(environment: Environment, stage: str, stamp: str) -> bool:
    """True when the stage was finished with these very inputs."""
    path = environment.folder / f"{stage}.stamp"
    return path.is_file() and path.read_text(encoding="utf-8") == stamp and environment.python.exists()


@contextmanager
def stamped(environment: Environment, stage: str, stamp: str, what: str) -> Iterator[None]:
    """Do a stage and leave its stamp only when it succeeded."""
    path = environment.folder / f"{stage}.stamp"
    path.unlink(missing_ok=True)
    started = time.monotonic()
    say(f"{what} ...")
    yield
    path.write_text(stamp, encoding="utf-8")
    say(f"{what}: done in {time.monotonic() - started:.0f} s")


def make_folder(environment: Environment, force: bool) -> None:
    """Make the virtual environment, or clear one of ours that was made for another Python or ROS release."""
    folder = environment.folder
    marker = folder / MARKER
    # The interpreter behind this one: an environment made from within another would depend on that one.
    base = getattr(sys, "_base_executable", sys.executable)
    purpose = f"{base}\n{platform.python_version()} {environment.distribution or environment.distro}\n"
    if folder.exists() and any(folder.iterdir()):
        if not marker.is_file():
            raise SetupError(
                f"{folder} exists and was not made by this script, so it is left alone: "
                "name another folder with --venv, or delete it."
            )
        if not force and environment.python.exists() and marker.read_text(encoding="utf-8") == purpose:
            return
        say(f"clearing {folder}: made for another Python or ROS 2 release, or incomplete")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    marker.write_text("unfinished\n", encoding="utf-8")
    say(f"making {folder} with Python {platform.python_version()}; log: {environment.log_path}")
    options = ["--system-site-packages"] if environment.distribution else []
    environment.run(
        [base, "-m", "venv", *options, folder],
        "making the virtual environment",
        "On Debian and Ubuntu it needs: sudo apt-get install python3-venv",
    )
    marker.write_text(purpose, encoding="utf-8")


def choose_torch(wanted: str) -> str:
    """``cuda`` on a machine whose NVIDIA driver answers, else ``cpu``, unless told."""
    if wanted != "auto":
        return wanted
    nvidia_smi = shutil.which("nvidia-smi")
    if nvidia_smi is None:
        return "cpu"
    try:
        done = subprocess.run([nvidia_smi, "-L"], capture_output=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "cpu"
    return "cuda" if done.returncode == 0 and b"GPU" in done.stdout else "cpu"


def pinned_version(name: str) -> str:
    """The version of a package in requirements/library.txt."""
    for line in (ROOT / "requirements" / "library.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}=="):
            return line.split("==", 1)[1].strip()
    raise SetupError(f"requirements/library.txt pins no {name}")


def install_torch(environment: Environment) -> None:
    """Install the pinned torch: for the GPU the default wheel, else the much smaller CPU build where one is found."""
    version = pinned_version("torch")
    if environment.torch == "cuda":
        say(f"installing torch {version} with CUDA (about 3 GB) ...")
        environment.pip([f"torch=={version}"], "installing torch")
        return
    say(f"installing torch {version} for CPU (about 200 MB) ...")
    if environment.try_run([*environment.pip_install(), f"torch=={version}+cpu"]):
        return
    # PyTorch keeps its CPU wheels at a place of its own, which uv knows by itself (the newest uv best, so no pin).
    uv: list[str | Path] = [environment.python, "-m", "uv", "pip", "install", "--python", environment.python]
    if environment.try_run([*environment.pip_install(), "uv"]):
        if environment.try_run([*uv, "--torch-backend=cpu", f"torch=={version}"]):
            return
    say(f"WARNING: found no CPU build of torch {version}: installing the default one, which may bring 3 GB of CUDA")
    environment.pip([f"torch=={version}"], "installing torch")


def install_packages(environment: Environment) -> None:
    """Stage ``packages``: torch first (its build depends on the machine), then the pinned lists, then this checkout."""
    install_torch(environment)
    say("installing the pinned packages ...")
    lists: list[str | Path] = [word for path in requirement_files(environment) for word in ("-r", path)]
    environment.pip(lists, "installing the packages of requirements/")
    say("installing this checkout, editable ...")
    environment.pip(["--no-deps", "--no-build-isolation", "-e", ROOT], "installing attnchain_ros")


def fix_exported_paths(environment: Environment) -> None:
    """Point the wheels' CMake files at this Python: they name include folders of the machine that built them.

    Idempotent: only paths below /opt/python (the wheel builders' folder) are replaced, none of which exist here.
    """
    script = "import numpy, sysconfig; print(sysconfig.get_paths()['include']); print(numpy.get_include())"
    command = [str(environment.python), "-c", script]
    found = subprocess.run(command, capture_output=True, text=True, env=environment.variables(), check=False)
    folders = found.stdout.split("\n")
    if found.returncode != 0 or len(folders) < 2:
        raise SetupError(f"cannot find the include folders of Python and numpy:\n{found.stderr}")
    version = f"{sys.version_info.major}{sys.version_info.minor}"
    for path in (environment.folder / "share").glob("*/cmake/*.cmake"):
        text = path.read_text(encoding="utf-8")
        if "/opt/python/cp" not in text:
            continue
        built = f"/opt/python/cp{version}-cp{version}"
        dotted = f"python{sys.version_info.major}.{sys.version_info.minor}"
        text = text.replace(f"{built}/lib/{dotted}/site-packages/numpy/_core/include", folders[1])
        text = text.replace(f"{built}/include/{dotted}", folders[0])
        if "/opt/python/cp" in text:
            raise SetupError(
                f"{path} names a folder of another machine below /opt/python that is not known here: "
                "use the wheels' versions pinned in requirements/"
            )
        path.write_text(text, encoding="utf-8")


def build_messages(environment: Environment) -> None:
    """Stage ``messages``: build and install tf2_msgs, which the wheels lack, and our own messages and services."""
    fix_exported_paths(environment)
    for name, source in (("tf2_msgs", ROOT / "scripts" / "interfaces" / "tf2_msgs"), ("attnchain_ros", ROOT)):
        say(f"building the messages of {name} ...")
        build = environment.folder / "build" / name
        shutil.rmtree(build, ignore_errors=True)
        cmake = environment.folder / "bin" / "cmake"
        configure: list[str | Path] = [cmake, "-S", source, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release"]
        configure += [f"-DCMAKE_INSTALL_PREFIX={environment.folder}", f"-DPython3_EXECUTABLE={environment.python}"]
        configure += ["-DPython3_FIND_VIRTUALENV=ONLY", "-DBUILD_TESTING=OFF"]
        if name == "attnchain_ros":
            configure.append("-DATTNCHAIN_INTERFACES_ONLY=ON")
        environment.run(configure, f"configuring the messages of {name}")
        environment.run([cmake, "--build", build], f"compiling the messages of {name}")
        # A message that was renamed or removed must not stay behind.
        shutil.rmtree(environment.site_packages() / name, ignore_errors=True)
        environment.run([cmake, "--install", build], f"installing the messages of {name}")
        shutil.rmtree(build, ignore_errors=True)
        # pip would take the generated metadata for an installed package of its own.
        for metadata in environment.site_packages().glob(f"{name}-*.egg-info"):
            shutil.rmtree(metadata)
    # Without it the generated folder is a mere portion of the editable package, instead of hiding it.
    (environment.site_packages() / "attnchain_ros" / "__init__.py").unlink(missing_ok=True)
    # It loads every library involved, so a broken build is noticed here and not in the node.
    check = (
        "from rclpy.type_support import check_for_type_support as check\n"
        "from attnchain_ros.msg import AnimatedMesh, Tracks\n"
        "from attnchain_ros.srv import GetMesh, ResetObject, SaveMesh, SetAnchor\n"
        "from tf2_msgs.msg import TFMessage\n"
        "[check(kind) for kind in (AnimatedMesh, Tracks, GetMesh, ResetObject, SaveMesh, SetAnchor, TFMessage)]\n"
    )
    environment.run([environment.python, "-c", check], "loading the messages that were just built")


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line, with environment variables as defaults, so that scripts/demo and scripts/test agree with it."""
    parser = argparse.ArgumentParser(prog="scripts/setup", description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--distro",
        choices=DISTROS,
        default=os.environ.get("ATTNCHAIN_DISTRO", DISTROS[0]),
        help="release of the ROS 2 wheels, unless a ROS 2 distribution is sourced [ATTNCHAIN_DISTRO, %(default)s]",
    )
    parser.add_argument(
        "--venv",
        type=Path,
        default=os.environ.get("ATTNCHAIN_VENV"),
        help="folder of the environment [ATTNCHAIN_VENV, .venv; .venv-jazzy for Jazzy]",
    )
    parser.add_argument(
        "--torch",
        choices=("auto", "cpu", "cuda"),
        default=os.environ.get("ATTNCHAIN_TORCH", "auto"),
        help="auto: cuda where nvidia-smi answers [ATTNCHAIN_TORCH, auto]",
    )
    parser.add_argument("--force", action="store_true", help="make the environment anew")
    parser.add_argument("--print-python", action="store_true", help="print the environment's Python on stdout")
    chosen = parser.parse_args(arguments)
    if chosen.distro not in DISTROS:
        parser.error(f"ATTNCHAIN_DISTRO is {chosen.distro!r}: choose one of {', '.join(DISTROS)}")
    if chosen.torch not in ("auto", "cpu", "cuda"):
        parser.error(f"ATTNCHAIN_TORCH is {chosen.torch!r}: choose auto, cpu or cuda")
    return chosen


def keep_interpreter(environment: Environment, arguments: Sequence[str]) -> None:
    """Go on with the Python that the environment was made with, whichever one the search path names today.

    Otherwise a shell with another ``python3`` in front would make everything anew. PYTHON=... or --force does.
    """
    marker = environment.folder / MARKER
    if os.environ.get("PYTHON") or environment.distribution or not marker.is_file():
        return
    recorded = marker.read_text(encoding="utf-8").split("\n", 1)[0]
    current = getattr(sys, "_base_executable", sys.executable)
    if recorded != current and os.access(recorded, os.X_OK) and os.environ.get("_ATTNCHAIN_PYTHON") != recorded:
        variables = dict(os.environ) | {"_ATTNCHAIN_PYTHON": recorded}
        os.execve(recorded, [recorded, __file__, *arguments], variables)


def set_up(environment: Environment, force: bool) -> None:
    """Bring the environment up to date."""
    packages, messages = packages_stamp(environment), messages_stamp(environment)
    current = not force and is_current(environment, "packages", packages)
    if current and (environment.distribution or is_current(environment, "messages", messages)):
        return
    check_system(environment)
    make_folder(environment, force)
    if not is_current(environment, "packages", packages):
        with stamped(environment, "packages", packages, "packages (some minutes the first time)"):
            install_packages(environment)
    if environment.distribution:
        say(f"ROS 2 {environment.distribution} is sourced: build the messages with `colcon build` (see README.md)")
    elif not is_current(environment, "messages", messages):
        with stamped(environment, "messages", messages, "messages"):
            build_messages(environment)
    say(f"ready: {environment.folder}")


def main(arguments: Sequence[str]) -> int:
    """Run; exit status 0 when the environment is ready."""
    chosen = parse_arguments(arguments)
    default = ".venv" if chosen.distro == DISTROS[0] else f".venv-{chosen.distro}"
    folder = Path(os.path.abspath(chosen.venv or ROOT / default))
    environment = Environment(folder, chosen.distro, choose_torch(chosen.torch))
    if not chosen.force:
        keep_interpreter(environment, arguments)
    if environment.distribution is None and os.environ.get("ROS_DISTRO"):
        say(f"ROS_DISTRO is {os.environ['ROS_DISTRO']}, but {sys.executable} finds no rclpy of it: using the wheels")
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock: IO[str]
    try:
        # Two commands started at once (a demo and a test) must not build into one folder.
        with open(folder.parent / f".{folder.name}.lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            set_up(environment, chosen.force)
    except SetupError as error:
        for line in str(error).splitlines():
            say(line)
        return 1
    if chosen.print_python:
        sys.stdout.write(f"{environment.python}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
