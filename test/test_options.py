"""One resolution of options: defaults, then the checkpoint, then what was set, for node and command line alike."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from attnchain_ros import config
from attnchain_ros.backbone import Backbone, load_backbone
from attnchain_ros.cli.arguments import add_network_arguments, parse_settings
from attnchain_ros.config import RolloutConfig
from attnchain_ros.errors import ConfigError
from attnchain_ros.node.engine import RolloutEngine
from attnchain_ros.node.parameters import NodeSettings, change
from attnchain_ros.options import resolve

DEFAULT = RolloutConfig()


@pytest.fixture(scope="module")
def small() -> Backbone:
    return load_backbone(device="cpu")


def recommending(backbone: Backbone, **options: Any) -> Backbone:
    """The same network with other recommendations: only what ``resolve`` reads."""
    return cast(Backbone, SimpleNamespace(recommended=options, frames=backbone.frames, stage_one=backbone.stage_one))


def test_what_was_set_wins_also_where_it_is_the_default(small: Backbone) -> None:
    assert small.recommended["sampling.anchor_noise"] == 0.8 and DEFAULT.sampling.anchor_noise == 0.0
    assert resolve(small).sampling.anchor_noise == 0.8
    assert resolve(small, {"sampling.anchor_noise": 0.0}).sampling.anchor_noise == 0.0
    assert resolve(small, {"sampling.anchor_noise": 0.3}).sampling.anchor_noise == 0.3


def test_without_recommendations_only_what_was_set_counts(small: Backbone) -> None:
    other = recommending(small, **{"sampling.guidance": 1.0, "frames": 8})
    assert resolve(other).frames == 8 and resolve(other).sampling.guidance == 1.0
    assert resolve(other, recommended=False) == DEFAULT
    assert resolve(other, {"sampling.steps": 3}, recommended=False) == config.replace(DEFAULT, {"sampling.steps": 3})


def test_what_does_not_fit_the_network_is_refused(small: Backbone) -> None:
    with pytest.raises(ConfigError, match="unknown option 'stepz'; SamplingConfig has"):
        resolve(small, {"sampling.stepz": 3})
    with pytest.raises(ConfigError, match="layer"):
        resolve(small, {"readout.layers": "99"})
    with pytest.raises(ConfigError, match="anchor_rotation_deg is '1,2'"):
        resolve(small, {"anchor_rotation_deg": "1,2"})
    with pytest.raises(ConfigError, match="the most allowed is 256"):
        resolve(recommending(small, frames=300))


@pytest.mark.parametrize(
    "texts",
    [
        [],
        ["sampling.anchor_noise=0.0"],
        ["match.self_limit=0", "sampling.steps=2"],
        ["camera.refine=none", "frames=16"],
        ["anchor_rotation_deg=0,90,0"],
    ],
    ids=lambda texts: " ".join(texts) or "nothing",
)
def test_node_and_command_line_make_the_same_of_the_same_options(texts: list[str], small: Backbone) -> None:
    parser = argparse.ArgumentParser()
    add_network_arguments(parser)
    args = parser.parse_args([part for text in texts for part in ("--set", text)])
    changes = parse_settings(args.settings)
    engine = RolloutEngine(change(NodeSettings(), {"device": "cpu", **changes}))
    assert engine.settings.rollout == resolve(small, changes)
    assert engine.rollout.config == engine.settings.rollout


def test_the_parameter_file_sets_none_of_the_methods_options() -> None:
    """Else a node launched with it would ignore every recommendation of the weights."""
    import yaml

    path = Path(__file__).resolve().parent.parent / "config" / "attnchain.yaml"

    def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in tree.items():
            found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        return found

    settings = change(NodeSettings(), flat(yaml.safe_load(path.read_text("utf-8"))["/**"]["ros__parameters"]))
    assert settings.given == {} and settings == NodeSettings()
