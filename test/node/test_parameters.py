"""One table of parameters, and everything that is made from it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st

from attnchain_ros.config import RolloutConfig, flatten
from attnchain_ros.errors import ConfigError
from attnchain_ros.node import parameters
from attnchain_ros.node.parameters import (
    TABLE,
    NodeConfig,
    NodeSettings,
    change,
    coerce,
    parameters_markdown,
    parameters_yaml,
    value_of,
)

ROOT = Path(__file__).parents[2]


def flat(tree: dict, prefix: str = "") -> dict:
    found = {}
    for key, value in tree.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


def test_the_table_has_every_option_once():
    node, method = set(flatten(NodeConfig())), set(flatten(RolloutConfig()))
    assert not node & method
    assert set(TABLE) == node | method
    for spec in TABLE.values():
        assert spec.doc and len(spec.doc) < 300, spec.name
        # ROS allows letters, digits, underscores and dots
        assert re.fullmatch(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*", spec.name)


def test_the_yaml_file_is_the_table():
    text = (ROOT / "config" / "attnchain.yaml").read_text()
    assert text == parameters_yaml(), "run: python3 -m attnchain_ros.node.parameters > config/attnchain.yaml"
    shown = flat(yaml.safe_load(text)["/**"]["ros__parameters"])
    assert set(shown) == set(flatten(NodeConfig())), "a method's option in a file is one that was set"
    values = flat(yaml.safe_load(text.replace("    #: ", "    "))["/**"]["ros__parameters"])
    assert values == {name: spec.default for name, spec in TABLE.items()}
    assert all(type(values[name]) is type(spec.default) for name, spec in TABLE.items())


def test_the_documentation_is_the_table():
    text = (ROOT / "docs" / "parameters.md").read_text()
    assert text == parameters_markdown(), (
        "run: python3 -m attnchain_ros.node.parameters --markdown > docs/parameters.md"
    )
    rows = [re.split(r" (?<!\\)\| ", line.strip("| ")) for line in text.splitlines() if line.startswith("| `")]
    assert [row[0].strip("`") for row in rows] == list(TABLE)
    for (_, default, allowed, meaning), spec in zip(rows, TABLE.values(), strict=True):
        value = yaml.safe_load(default.strip("`"))
        assert value == spec.default and type(value) is type(spec.default), spec.name
        assert all(
            f"{limit:g}" in allowed or str(limit) in allowed for limit in (spec.low, spec.high) if limit is not None
        )
        assert spec.choices is None or all(choice in allowed for choice in spec.choices)
        assert ("read when configured" in meaning, "read at start-up" in meaning) == (
            spec.applies == "configure",
            spec.applies == "start",
        )


def test_the_module_prints_both_files():
    for arguments, name in (([], "config/attnchain.yaml"), (["--markdown"], "docs/parameters.md")):
        command = [sys.executable, "-W", "ignore", "-m", "attnchain_ros.node.parameters", *arguments]
        found = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        assert found.stdout == (ROOT / name).read_text()


def test_other_yaml_files_use_known_parameters_with_good_values():
    for path in (ROOT / "config").glob("*.yaml"):
        change(NodeSettings(), flat(yaml.safe_load(path.read_text())["/**"]["ros__parameters"]))


def test_launch_arguments_are_parameters():
    tree = ast.parse((ROOT / "launch" / "attnchain.launch.py").read_text())
    tables = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    assert set(tables["PARAMETERS"]) <= set(TABLE)
    assert set(tables["TOPICS"]) == {"image", "camera_info", "mask", "depth"}


@pytest.mark.parametrize("number", [1e-06, 0.02, 1e22, -0.0, 1.5e-7])
def test_floats_stay_floats_in_yaml(number: float):
    assert yaml.safe_load(parameters._scalar(number)) == number
    assert isinstance(yaml.safe_load(parameters._scalar(number)), float)


def test_a_change_reaches_its_place():
    settings = change(
        NodeSettings(), {"sampling.steps": 7, "queue_size": 40, "publish.tf": False, "match.radius": 1, "frames": 8}
    )
    assert settings.rollout.sampling.steps == 7 and settings.rollout.frames == 8
    assert settings.node.queue_size == 40 and not settings.node.publish.tf
    assert settings.rollout.match.radius == 1.0 and isinstance(settings.rollout.match.radius, float)
    assert settings.rollout.frames == 8 and settings.node.queue_size == 40
    assert all(value_of(NodeSettings(), name) == spec.default for name, spec in TABLE.items())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sampling.step": 7}, "unknown parameter 'sampling.step'; did you mean sampling.steps"),
        ({"sampling.steps": 0}, "sampling.steps is 0, the least allowed is 1"),
        ({"sampling.steps": 2.5}, "sampling.steps is 2.5 (float), wanted a value of type int"),
        ({"sampling.steps": True}, "sampling.steps is True (bool), wanted a value of type int"),
        ({"match.radius": "big"}, "match.radius is 'big' (str), wanted a value of type float"),
        ({"match.radius": float("nan")}, "match.radius is not a number"),
        ({"camera.ransac_confidence": 1.0}, "the most allowed is 0.999999"),
        ({"mask_mode": "some"}, "mask_mode is 'some', wanted one of first, latest, every"),
        ({"queue_size": 8}, "queue_size is 8, but a window has 16 frames"),
        ({"frames": 64}, "queue_size is 32, but a window has 64 frames"),
        ({"publish.mesh": 1}, "publish.mesh is 1 (int), wanted a value of type bool"),
    ],
)
def test_refusals_name_parameter_value_and_limit(changes: dict, reason: str):
    with pytest.raises(ConfigError) as error:
        change(NodeSettings(), changes)
    assert reason in str(error.value)


@pytest.mark.parametrize("spec", [spec for spec in TABLE.values() if spec.low is not None or spec.high is not None])
def test_every_range_is_enforced(spec: parameters.ParameterSpec):
    for limit, step in ((spec.low, -1), (spec.high, 1)):
        if limit is not None:
            with pytest.raises(ConfigError, match=re.escape(spec.name)):
                change(NodeSettings(), {spec.name: type(spec.default)(limit + step)})


def test_some_parameters_are_only_read_by_configure():
    changed = change(NodeSettings(), {"weights": "folder"})
    assert changed.node.weights == "folder"
    with pytest.raises(ConfigError, match="weights is only read when the node is configured"):
        change(changed, {"weights": "other"}, configured=True)
    assert change(changed, {"weights": "folder", "sampling.steps": 2}, configured=True).rollout.sampling.steps == 2


def test_settings_know_what_was_set_whatever_its_value():
    untouched = change(NodeSettings(), {"stride": 2})
    assert untouched.given == {} and untouched.explicit == frozenset()
    settings = change(untouched, {"sampling.anchor_noise": 0.0, "sampling.guidance": 2.0})
    assert settings.given == {"sampling.anchor_noise": 0.0, "sampling.guidance": 2.0}
    assert change(settings, {"sampling.guidance": 7.5}).given == {
        "sampling.anchor_noise": 0.0,
        "sampling.guidance": 7.5,
    }


# Whatever a client may send: each type of ROS parameters, with the values where limits lie.
VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.sampled_from(["", "auto", "every", "block", "nonsense", "mesh"]),
    st.lists(st.integers(-9, 9), max_size=3),
    st.none(),
)


@given(changes=st.dictionaries(st.sampled_from([*TABLE, "no.such.name"]), VALUES, max_size=4))
@trials(max_examples=300, deadline=None, derandomize=True)
def test_any_change_is_taken_over_or_refused_with_its_reason(changes: dict):
    """Nothing but ``ConfigError`` comes out; what is accepted has the types and ranges of the table."""
    try:
        found = change(NodeSettings(), changes)
    except ConfigError as error:
        assert any(name.rpartition(".")[2] in str(error) for name in [*changes, "queue_size", "reinforce"])
        return
    for name, spec in TABLE.items():
        value = value_of(found, name)
        assert type(value) is type(spec.default)
        assert value == changes.get(name, spec.default)
        assert spec.low is None or spec.low <= value
        assert spec.high is None or value <= spec.high
        assert spec.choices is None or value in spec.choices
    assert change(found, {}) == found and change(found, changes) == found


@given(data=st.data())
@trials(max_examples=150, deadline=None, derandomize=True)
def test_every_value_inside_its_range_is_accepted(data: st.DataObject):
    spec = data.draw(st.sampled_from([one for one in TABLE.values() if one.kind in ("int", "float")]))
    low = spec.low if spec.low is not None else -1e6
    high = spec.high if spec.high is not None else 1e6
    if spec.kind == "int":
        value = data.draw(st.integers(int(low), int(min(high, 2**31))))
    else:
        value = data.draw(st.floats(float(low), float(high), allow_nan=False))
    # Those that have to fit other parameters get room.
    found = change(
        NodeSettings(), {"queue_size": 4096} | {spec.name: value} | ({"frames": 2} if spec.name == "queue_size" else {})
    )
    assert value_of(found, spec.name) == value


def test_coerce_keeps_types():
    assert coerce("match.radius", 1) == 1.0 and type(coerce("match.radius", 1)) is float
    assert type(coerce("frames", 8)) is int
