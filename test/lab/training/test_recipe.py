"""Recipes: the shipped file is valid, and mistakes are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from attnchain_ros.errors import ConfigError
from attnchain_ros.lab.training.recipe import Recipe, load_recipe, recipe_from, recipe_tree

SHIPPED = Path(__file__).parents[3] / "recipes"


def test_shipped_recipe_is_valid_and_survives_a_round_trip() -> None:
    recipe = load_recipe(SHIPPED / "small.json")
    assert recipe.name == "small"
    assert recipe.data.families == "trained"
    assert recipe.temporal.sizes(recipe.vae, 128, 16).inflated_layers == tuple(range(recipe.temporal.layers))
    assert recipe_from(json.loads(json.dumps(recipe_tree(recipe)))) == recipe


@pytest.mark.parametrize(
    ("tree", "names"),
    [
        ({"vae": {"token": 64}}, "token"),
        ({"vae": {"tokens": "64"}}, "vae.tokens"),
        ({"vae": {"tokens": 0}}, "tokens"),
        ({"seed": True}, "seed"),
        ({"temporal": {"layers": 6}}, "temporal.layers"),
        ({"temporal": {"short_frames": 17}}, "temporal.short_frames"),
        ({"vae": {"heads": 3}}, "3 heads"),
        ({"image_encoder": {"patch": 7}}, "image_size"),
        ({"data": {"surface_points": 32}}, "surface_points"),
        ({"data": {"families": "lamp"}}, "families is 'lamp'"),
        ({"start_weights": "somewhere", "image_to_3d": {"start_from": "temporal"}}, "start_weights is 'somewhere'"),
    ],
)
def test_mistakes_are_named(tree: dict, names: str) -> None:
    with pytest.raises(ConfigError, match=names):
        recipe_from(tree)


def test_whole_numbers_serve_as_floats() -> None:
    assert recipe_from({"vae": {"kl_weight": 0}}).vae.kl_weight == 0.0
    assert recipe_from({}) == Recipe()


@pytest.mark.parametrize("text", ["", "[1]", "{"])
def test_files_that_are_no_recipe(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="recipe"):
        load_recipe(path)
