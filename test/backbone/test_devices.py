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
from attnchain_ros.lab.bench.waits import Waits
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


def window(backbone: Backbone, count: int = 1) -> WindowResult:
    """The last one of so many windows of a chain, all with the same pictures."""
    clip = make_clip(split_seed("test", 0), ClipConfig(frames=backbone.frames, image_size=64))
    rollout = Rollout(backbone, resolve(backbone, QUICK), Mesh(clip.vertices[0], clip.faces), True)
    stamps = np.arange(backbone.frames, dtype=np.int64) * 33_333_333
    for number in range(count):
        shifted = stamps + number * stamps[-1]
        result = rollout.run(Window(clip.images, clip.masks, shifted, clip.intrinsics))
    return result


WAITS = {
    "backbone.backbone.Backbone.encode_surface": "the anchor's points go to the device",
    "backbone.image_encoder.ImageEncoder.encode": "the pictures go to the device",
    "backbone.stage_one.source_noise": "drawn on the host, so that every device starts from the same",
    "chain.tracks2d.patch_places": "where tracks are in the picture, for the cameras",
    "mesh.skinning._rotations": "where a triangle gives no rotation",
    "mesh.skinning.skin_vertices": "weights and rest places go to the device",
    "mesh.smoothing._bridge": "whether landmarks were left out at all",
    "mesh.smoothing.keep_landmarks": "which landmarks are kept",
    "mesh.smoothing.smooth_displacements": "whether there is anything to smooth",
    "mesh.surface._crossings": "edges on which the sign changes",
    "mesh.surface._evaluate_levels": "edges on which the sign changes",
    "mesh.surface._next_along_surface": "the cells that the next level looks at",
    "mesh.surface._query": "whether there are points to evaluate",
    "mesh.surface.surface_points": "the anchor's place goes to the device",
    "rollout.animating._count": "for the status",
    "rollout.animating.animate": "the animated mesh comes back",
    "rollout.animating.clean_matches": "distances on the anchor go to the device",
    "rollout.animating._tail_of": "what is smoothed with the next window's start",
    "rollout.animating.steady_vertices": "the vertices before the window go to the device",
    "rollout.matching.Chain.of": "the anchor's landmarks go to the device",
    "rollout.sight.Sight.carriers": "what tracks are carried by comes back",
    "rollout.sight.Sight.confidence": "what frames are trusted by comes back",
    "rollout.sight.Sight.places": "what cameras are solved from comes back",
}
"""Where the host waits for the device in a window, beside the end of each stage (``rollout.watch``), and what for."""


@pytest.mark.parametrize("there", DEVICES, indirect=True)
def test_a_window_waits_for_the_device_at_the_named_places_only(there: Backbone) -> None:
    with Waits(there.device) as found:
        window(there, count=2)  # the second one goes on from the first
    assert set(found.places) <= set(WAITS), {name: found.places[name] for name in set(found.places) - set(WAITS)}
    # What is wanted goes and comes in one piece, not a frame at a time.
    often = {"mesh.surface", "mesh.skinning"}
    once = {name: count for name, count in found.places.items() if name.rpartition(".")[0] not in often}
    assert max(once.values()) <= 2 * 10 and sum(once.values()) < 2 * 60


@pytest.mark.parametrize("there", DEVICES, indirect=True)
def test_no_step_of_denoising_waits_for_the_device(there: Backbone) -> None:
    found = []
    for steps in (2, 4):
        with Waits(there.device) as waits:
            denoised(there, **{"sampling.steps": steps})
        found.append({name: count for name, count in waits.places.items() if name != "elsewhere"})  # the test's own
    assert found[0] == found[1] and set(found[0]) <= {"backbone.stage_one.source_noise"}


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
