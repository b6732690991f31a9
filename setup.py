"""For plain pip: the ROS-free library and the command ``attnchain``. With ROS 2, CMakeLists.txt installs the same."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent


def package_version() -> str:
    """The version, kept in package.xml alone."""
    found = re.search(r"<version>([^<]+)</version>", (ROOT / "package.xml").read_text(encoding="utf-8"))
    if found is None:
        raise RuntimeError("package.xml has no <version>")
    return found.group(1)


def requirements(name: str) -> list[str]:
    """The packages of requirements/NAME.txt, below the next major version.

    Not the pins themselves: robots bring builds of their own (torch on a Jetson). The tested versions come with
    ``pip install -r requirements/NAME.txt``.
    """
    ranges = []
    for line in (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        pin = re.fullmatch(r"([\w.-]+)==(\d+)[\w.]*", line.strip())
        if pin is not None:
            ranges.append(f"{pin.group(1)}<{int(pin.group(2)) + 1}")
    return ranges


def shared_files() -> list[tuple[str, list[str]]]:
    """What lies in share/attnchain_ros after an installation, as with ROS 2."""
    share = Path("share/attnchain_ros")
    found: dict[str, list[str]] = {str(share): ["package.xml"]}
    for folder in ("config", "launch", "recipes", "msg", "srv"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                inside = path.relative_to(ROOT)
                found.setdefault(str(share / inside.parent), []).append(str(inside))
    return sorted(found.items())


setup(
    name="attnchain_ros",
    version=package_version(),
    description="From a video of one moving object to an animated mesh, point tracks and camera poses",
    license="Apache-2.0",
    python_requires=">=3.10",
    # Spelled out, so that an editable install is a plain path: generated messages then merge beside the sources.
    package_dir={"": "."},
    packages=find_packages(include=["attnchain_ros", "attnchain_ros.*"]),
    package_data={"attnchain_ros": ["weights/**/*", "published/*.json", "py.typed"]},
    data_files=shared_files(),
    install_requires=requirements("library"),
    extras_require={
        "lab": requirements("lab"),
        # Masks from a click; the tests need it as well, so that it is pinned there.
        "masks": [line for line in requirements("development") if line.startswith("transformers")],
        # Results as a page in the browser.
        "view": [line for line in requirements("development") if line.startswith("viser")],
        # Many clips over many devices.
        "batch": [line for line in requirements("development") if line.startswith("ray")],
    },
    entry_points={"console_scripts": ["attnchain = attnchain_ros.cli:main"]},
    zip_safe=False,
)
