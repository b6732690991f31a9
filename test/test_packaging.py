"""What the package says about itself in several places agrees, and nothing of one machine is in it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import xml.etree.ElementTree
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PIN = re.compile(r"^[A-Za-z0-9_.-]+==[\w.+]+", re.MULTILINE)


def tracked_files() -> list[Path]:
    """Files of the checkout that git tracks or would track."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"needs a git checkout: {done.stderr.strip()}")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def text_of(path: Path) -> str | None:
    """The text of a file, None when it is binary."""
    data = path.read_bytes()
    if b"\0" in data[:8192]:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def package_xml() -> xml.etree.ElementTree.Element:
    return xml.etree.ElementTree.parse(ROOT / "package.xml").getroot()


def pins_of(name: str) -> dict[str, str]:
    """Package -> version of one list in requirements/."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    assert all(PIN.fullmatch(line) for line in lines), f"requirements/{name}.txt has a line that is no pin"
    pairs = [line.split("==") for line in lines]
    assert len(pairs) == len({key.lower() for key, _ in pairs}), f"requirements/{name}.txt pins something twice"
    return {key: version for key, version in pairs}


def test_name_and_version_agree() -> None:
    described = package_xml()
    version = described.findtext("version")
    assert described.findtext("name") == "attnchain_ros"
    done = subprocess.run(
        [sys.executable, "setup.py", "--name", "--version"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.split()[-2:] == ["attnchain_ros", version], done.stderr
    cmake = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    assert re.search(r"^project\(attnchain_ros\b(?!.*VERSION)", cmake, re.MULTILINE), "CMake takes it from package.xml"
    source = (ROOT / "attnchain_ros" / "__init__.py").read_text(encoding="utf-8")
    assert f'__version__ = "{version}"' in source
    changelog = (ROOT / "CHANGELOG.rst").read_text(encoding="utf-8")
    assert re.search(rf"^{re.escape(version or '?')} \(", changelog, re.MULTILINE)


def test_setup_takes_its_ranges_from_the_pins(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    library, lab = (
        {f"{name}<{int(version.split('.')[0]) + 1}" for name, version in pins_of(list_).items()}
        for list_ in ("library", "lab")
    )
    written = (tmp_path / "attnchain_ros.egg-info" / "requires.txt").read_text(encoding="utf-8")
    extras = {name: rest for name, rest in re.findall(r"\[(\w+)\]\n([^\[]*)", written)}
    assert set(extras) == {"lab", "masks", "view", "batch"}
    for name, package in (("masks", "transformers"), ("view", "viser"), ("batch", "ray")):
        assert [line.partition("<")[0] for line in extras[name].split()] == [package]
    always = written.partition("[")[0]
    assert set(always.split()) == library and set(extras["lab"].split()) == lab and not library & lab
    sources = (tmp_path / "attnchain_ros.egg-info" / "entry_points.txt").read_text(encoding="utf-8")
    assert "attnchain = attnchain_ros.cli:main" in sources


def test_every_interface_is_built() -> None:
    cmake = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    listed = set(re.findall(r'"((?:msg|srv)/\w+\.(?:msg|srv))"', cmake))
    assert listed == {f"{path.parent.name}/{path.name}" for path in interface_files()}


def test_what_is_run_and_built_is_declared() -> None:
    """Every ROS package that the node imports or CMake finds is in package.xml."""
    declared = {element.text for element in package_xml().iter() if element.tag.endswith("depend")}
    found = set(re.findall(r"find_package\((\w+) REQUIRED\)", (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")))
    for folder in ("attnchain_ros/node", "launch"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    found.add(node.module.split(".")[0])
                elif isinstance(node, ast.Import):
                    found.update(alias.name.split(".")[0] for alias in node.names)
    ros = {name for name in found if name.endswith("_msgs") or name.endswith("_srvs")}
    ros |= found & {"rclpy", "cv_bridge", "sensor_msgs_py", "tf2_ros", "launch", "launch_ros", "ament_cmake"}
    ros |= found & {"builtin_interfaces", "rosidl_default_generators", "ament_index_python", "rclpy_components"}
    assert ros <= declared, f"not declared in package.xml: {sorted(ros - declared)}"


def test_rosdep_installs_the_libraries_or_package_xml_says_which_not() -> None:
    text = (ROOT / "package.xml").read_text(encoding="utf-8")
    declared = {element.text for element in package_xml().iter("exec_depend")}
    keys = {"opencv-python-headless": "opencv", "scikit-image": "skimage", "pyyaml": "yaml"}
    without = text[text.index("with a rosdep key.") : text.index("requirements/library.txt")]
    for name in map(str.lower, pins_of("library")):
        key = f"python3-{keys.get(name, name)}"
        assert {key, f"{key}-pip"} & declared or name in without, f"{name} is neither declared nor said to be missing"


def interface_files() -> list[Path]:
    return sorted([*(ROOT / "msg").glob("*.msg"), *(ROOT / "srv").glob("*.srv")])


def undocumented(text: str) -> list[str]:
    """Fields and constants of an interface without a comment directly above them."""
    missing = []
    above = ""
    for line in (line.strip() for line in text.splitlines()):
        if line and line != "---" and not line.startswith("#") and not above.startswith("#"):
            missing.append(line)
        above = line
    return missing


@pytest.mark.parametrize("path", interface_files(), ids=lambda path: path.name)
def test_every_field_is_documented(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert undocumented(text) == []
    # A floating-point field is a quantity: its unit, frame or range is in its comment, and so is what "absent" means.
    comment = ""
    for line in text.splitlines():
        if line.startswith("#"):
            comment += line
            continue
        if line.startswith("float"):
            words = ("metre", "pixel", "[0, 1]", "factor", "Factor")
            assert any(word in comment for word in words), f"{path.name}: {line} has no unit"
        comment = ""


def test_the_field_check_can_fail() -> None:
    assert undocumented("# header of the file\n\nint32 bare\n# said\nint32 fine\n---\nbool also_bare") == [
        "int32 bare",
        "bool also_bare",
    ]


def test_versions_are_pinned_once() -> None:
    names = [pins_of(name) for name in ("library", "lab", "development", "docs", "build")]
    together = [key.lower() for pins in names for key in pins]
    assert len(together) == len(set(together))
    assert all(key.startswith("ros-") for distro in ("kilted", "jazzy") for key in pins_of(f"ros-{distro}"))
    lists = {path.name for path in (ROOT / "requirements").iterdir()}
    assert lists == {
        f"{name}.txt" for name in ("library", "lab", "development", "docs", "build", "ros-kilted", "ros-jazzy")
    }
    pin = re.compile(r"(?<![\w=!<>])[A-Za-z][\w.-]*==\d+\.\d")
    for path in tracked_files():
        if path.parent != ROOT / "requirements" and path.suffix in (
            "",
            ".txt",
            ".toml",
            ".cfg",
            ".yml",
            ".yaml",
            ".md",
        ):
            assert not pin.search(text_of(path) or ""), (
                f"{path.relative_to(ROOT)} pins a version: name it in requirements/"
            )


def test_a_commit_is_checked_as_everything_is() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = [hook for repository in config["repos"] for hook in repository["hooks"]]
    assert [hook["entry"] for hook in hooks] == ["bash scripts/check"], "checks of its own would come to disagree"
    assert not hooks[0]["pass_filenames"], "mypy and the layers need the whole package"


def test_issue_forms_can_be_read() -> None:
    forms = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
    assert len(forms) == 2
    for path in forms:
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert form["name"] and form["description"], path.name
        fields = [field for field in form["body"] if field["type"] != "markdown"]
        assert fields and len({field["id"] for field in fields}) == len(fields), path.name
        assert all(field["attributes"]["label"] for field in fields), path.name


def test_readme_says_what_every_package_is_for() -> None:
    table = (ROOT / "README.md").read_text(encoding="utf-8").split("| package | why |")[1]
    told = {
        name for row in table.splitlines() if row.startswith("| ") for name in re.findall(r"[\w-]+", row.split("|")[1])
    }
    pinned = {name for list_ in ("library", "lab", "development", "docs") for name in pins_of(list_)}
    assert pinned - told == set()


# What installs or runs must work with the sources that the user's own tools are configured with, on any machine.
# Written apart, so that this file does not contain what it looks for.
INSTALL_SOURCES = ["--(?:extra-)?index" + "-url", "--find" + "-links", r"https?://\S+/(?:simple|whl)\b"]
MACHINE_PATHS = [re.escape(f"{folder}/") for folder in {ROOT.parent, Path.home()} if folder.parent != folder] + [
    r"(?<![\w.])/(?:home|Users)" + r"/\w+/"
]


def offences(text: str, patterns: list[str]) -> list[str]:
    return [found.group(0) for pattern in patterns for found in re.finditer(pattern, text)]


def test_no_install_sources_and_no_paths_of_one_machine() -> None:
    wrong = []
    for path in tracked_files():
        found = offences(text_of(path) or "", INSTALL_SOURCES + MACHINE_PATHS)
        wrong += [f"{path.relative_to(ROOT)}: {what}" for what in found]
    assert wrong == []


def test_the_source_and_path_check_can_fail() -> None:
    bad = "pip --index" + "-url https://example.org" + f"/simple x; cd {ROOT.parent}/there; ls /home" + "/me/x"
    assert len(offences(bad, INSTALL_SOURCES + MACHINE_PATHS)) == 4
    assert offences("a simple wheel, the /home button, the index", INSTALL_SOURCES + MACHINE_PATHS) == []


def test_scripts_are_bash_that_parses() -> None:
    for name in ("scripts/setup", "scripts/demo", "scripts/test", "scripts/check", ".ci/run"):
        done = subprocess.run(["bash", "-n", str(ROOT / name)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert (ROOT / name).stat().st_mode & 0o111, f"{name} is not executable"
