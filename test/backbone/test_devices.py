"""What a GPU computes is what the CPU computes; the same tests run between two backbones on the CPU as a rehearsal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from attnchain_ros.backbone import Backbone, load_backbone
from attnchain_ros.config import RolloutConfig
from attnchain_ros.config import replace as with_options
from attnchain_ros.lab.synthetic import ClipConfig, make_clip, split_seed
from attnchain_ros.mesh.types import Mesh
from attnchain_ros.node.engine import RolloutEngine
from attnchain_ros.node.worker import is_out_of_memory
from attnchain_ros.options import resolve
from attnchain_ros.rollout import Rollout, Window, WindowResult

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
QUICK = {
    "sampling.steps": 2, "surface.grid": 16, "surface.coarse_grid": 8, "surface.n_surface": 128,
    "surface.candidate_grid": 16, "encode_points": 128, "animation.landmarks": 16, "tracks.max_queries": 20,
    "camera.iterations": 20,
}  # fmt: skip
CLOSE = 2e-4


@pytest.fixture(scope="module")
def there(tiny_folder: Path, request: pytest.FixtureRequest) -> Backbone:
    return load_backbone(tiny_folder, request.param, "float32")


@pytest.fixture(scope="module")
def here(tiny_folder: Path) -> Backbone:
    return load_backbone(tiny_folder, "cpu", "float32")


def denoised(backbone: Backbone, **changes: object) -> list[torch.Tensor]:
    """Latents and maps of a window from the same numbers."""
    numbers = torch.Generator().manual_seed(1)
    anchor = torch.randn((backbone.tokens, backbone.channels), generator=numbers).to(backbone.device)
    patches = backbone.encoder_one.grid**2 + 1
    context = torch.randn((backbone.frames, patches, backbone.encoder_one.width), generator=numbers)
    config = with_options(RolloutConfig(frames=backbone.frames), {"sampling.steps": 2, **changes})
    stage = backbone.denoise(anchor, context.to(backbone.device), config, seed=3)
    return [one.cpu() for one in (stage.latents, stage.maps.token_tokens, stage.maps.token_patches)]


@pytest.mark.parametrize("there", DEVICES, indirect=True)
@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
def test_denoising_and_every_way_to_read_agree(there: Backbone, here: Backbone, direction: str) -> None:
    for theirs, ours in zip(
        denoised(there, **{"readout.direction": direction}),
        denoised(here, **{"readout.direction": direction}),
        strict=True,
    ):
        torch.testing.assert_close(theirs, ours, atol=CLOSE, rtol=CLOSE)


@pytest.mark.parametrize("there", DEVICES, indirect=True)
def test_encoders_and_fields_agree(there: Backbone, here: Backbone) -> None:
    rng = np.random.default_rng(0)
    side = here.encoder_one.input_size
    images = rng.integers(0, 256, (2, side, side, 3)).astype(np.uint8)
    cloud = rng.normal(size=(128, 6)).astype(np.float32)
    places = torch.from_numpy(rng.uniform(-1, 1, (1, 50, 3)).astype(np.float32))
    found = []
    for backbone in (there, here):
        latent = backbone.encode_surface(cloud[:, :3], cloud[:, 3:])
        field = backbone.decode(latent[None])
        with torch.no_grad():
            values, rows = field.logits(places.to(latent.device)), field.attention(places.to(latent.device))
        found.append([one.cpu() for one in (backbone.encoder_one.encode(images), latent, values, rows)])
    for theirs, ours in zip(*found, strict=True):
        torch.testing.assert_close(theirs, ours, atol=CLOSE, rtol=CLOSE)


@pytest.mark.parametrize("there", DEVICES, indirect=True)
def test_the_same_window_gives_the_same_bytes_twice(there: Backbone) -> None:
    first, second = window(there), window(there)
    assert np.array_equal(first.vertices, second.vertices)
    assert np.array_equal(first.tracks.points_px, second.tracks.points_px, equal_nan=True)
    assert np.array_equal(first.camera.camera_from_object, second.camera.camera_from_object)


def window(backbone: Backbone) -> WindowResult:
    clip = make_clip(split_seed("test", 0), ClipConfig(frames=backbone.frames, image_size=64))
    rollout = Rollout(backbone, resolve(backbone, QUICK), Mesh(clip.vertices[0], clip.faces), True)
    stamps = np.arange(backbone.frames, dtype=np.int64) * 33_333_333
    return rollout.run(Window(clip.images, clip.masks, stamps, clip.intrinsics))


@pytest.mark.gpu
def test_running_out_of_memory_is_recognised_and_smaller_pieces_go_on(tiny_folder: Path) -> None:
    from attnchain_ros.node.parameters import NodeSettings, change

    with pytest.raises(Exception) as caught:
        torch.empty(2**50, dtype=torch.uint8, device="cuda")
    assert is_out_of_memory(caught.value)
    engine = RolloutEngine(change(NodeSettings(), {**QUICK, "weights": str(tiny_folder), "device": "cuda"}))
    before = engine.rollout.config
    engine.save_memory()
    assert engine.rollout.config.surface.query_chunk < before.surface.query_chunk
    assert engine.rollout.config.match == replace(before.match, tile=engine.rollout.config.match.tile)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_on_a_gpu_stays_near(tiny_folder: Path, here: Backbone, dtype: str) -> None:
    half = load_backbone(tiny_folder, "cuda", dtype)
    for theirs, ours in zip(denoised(half), denoised(here), strict=True):
        assert float((theirs.float() - ours).abs().mean()) < 0.05
