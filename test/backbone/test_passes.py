"""Ways to compute the flow transformers: the same velocities, and what does not work is said once."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from attnchain_ros.backbone import Backbone, load_backbone
from attnchain_ros.backbone import passes as module
from attnchain_ros.backbone.layers import Attention, attend
from attnchain_ros.backbone.memory import DeviceMemory, window_bytes
from attnchain_ros.backbone.passes import Passes, attend_by, use_kernels
from attnchain_ros.backbone.transformer import FlowTransformer
from attnchain_ros.config import KernelConfig, RolloutConfig, replace
from attnchain_ros.lab.bench.sizes import SIZES, build

CLOSE = 1e-5


@pytest.fixture(scope="module")
def backbone(tiny_folder: Path) -> Backbone:
    return load_backbone(tiny_folder, "cpu", "float32")


def inputs(backbone: Backbone):
    """Latents, times, keys and steps of a pass of Stage I."""
    numbers = torch.Generator().manual_seed(0)
    frames, network = backbone.frames, backbone.stage_one
    latents = torch.randn((1, frames, backbone.tokens, backbone.channels), generator=numbers)
    context = torch.randn((frames, backbone.encoder_one.grid**2 + 1, backbone.encoder_one.width), generator=numbers)
    time = torch.full((1, frames), 400.0)
    return latents, time, network.project_context(context), torch.arange(frames)[None]


def stage(backbone: Backbone, passes: Passes, **changes: object):
    """Latents of a whole guided window."""
    numbers = torch.Generator().manual_seed(1)
    anchor = torch.randn((backbone.tokens, backbone.channels), generator=numbers)
    patches = backbone.encoder_one.grid**2 + 1
    context = torch.randn((backbone.frames, patches, backbone.encoder_one.width), generator=numbers)
    options = {"sampling.steps": 3, "sampling.guidance": 3.0, **changes}
    config = replace(RolloutConfig(frames=backbone.frames), options)
    found = dataclasses.replace(backbone, passes=passes).denoise(anchor, context, config, seed=3)
    return found.latents, found.maps.token_tokens


@torch.no_grad()
def test_a_guided_pass_is_the_two_passes(backbone: Backbone) -> None:
    latents, time, keys, steps = inputs(backbone)
    network = backbone.stage_one
    wanted = network(latents, time, keys, steps), network(latents, time, None, steps)
    assert not torch.allclose(*wanted, atol=CLOSE)
    for found, plain in zip(network.guided(latents, time, keys, steps), wanted, strict=True):
        assert torch.equal(found, plain), "the shared self-attention changes no bit"
    for found, plain in zip(network.guided(latents, time, keys, steps, together=True), wanted, strict=True):
        torch.testing.assert_close(found, plain, atol=CLOSE, rtol=CLOSE)


@torch.no_grad()
def test_the_first_self_attention_is_computed_once(backbone: Backbone) -> None:
    latents, time, keys, steps = inputs(backbone)
    network, seen = backbone.stage_one, []
    hooks = [
        block.self_attention.to_q.register_forward_hook(lambda *all, n=index: seen.append(n))
        for index, block in enumerate(network.typed_blocks())
    ]
    network.guided(latents, time, keys, steps)
    for hook in hooks:
        hook.remove()
    layers = network.sizes.layers
    assert [seen.count(index) for index in range(layers)] == [1] + [2] * (layers - 1)


@pytest.mark.parametrize("reinforce", ["off", "gain"])
def test_halves_together_or_apart_make_the_same_window(backbone: Backbone, reinforce: str) -> None:
    apart = stage(backbone, Passes(), **{"reinforce.mode": reinforce})
    together = stage(backbone, Passes(together=lambda: True), **{"reinforce.mode": reinforce})
    for one, other in zip(apart, together, strict=True):
        torch.testing.assert_close(other, one, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, about itself
@pytest.mark.parametrize("way", ["on", "graphs"])
def test_compiled_passes_make_the_same_window(backbone: Backbone, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced and run by torch's own reference of a compiler, which needs none of the machine."""
    torch._dynamo.reset()
    passes = Passes(KernelConfig(compile=way), backend="aot_eager")
    calls = []
    made = Passes._made

    def count(self: Passes, network: FlowTransformer, name: str):
        calls.append(name)
        return made(self, network, name)

    monkeypatch.setattr(Passes, "_made", count)
    for one, other in zip(stage(backbone, Passes()), stage(backbone, passes), strict=True):
        torch.testing.assert_close(other, one, atol=1e-4, rtol=1e-4)
    assert calls == ["guided"] * 2, "the last step is read: it is computed the plain way"
    assert passes.refused == 0 and passes.take_notes() == ()


def test_a_compiler_that_refuses_is_told_once_and_done_without(backbone: Backbone) -> None:
    torch._dynamo.reset()

    def refuse(graph, examples):
        raise RuntimeError("no compiler for this machine")

    passes = Passes(KernelConfig(compile="on"), backend=refuse)
    wanted, found = stage(backbone, Passes()), stage(backbone, passes)
    assert torch.equal(found[0], wanted[0]) and torch.equal(found[1], wanted[1])
    notes = passes.take_notes()
    assert passes.refused == 1 and [note.code for note in notes] == ["compile_refused"]
    assert "kernels.compile" in notes[0].text and passes.take_notes() == ()


def test_running_out_of_memory_is_no_refusal(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*all: object, **more: object):
        raise torch.OutOfMemoryError("CUDA out of memory")

    passes = Passes(KernelConfig(compile="on"))
    monkeypatch.setattr(passes, "_made", lambda network, name: fail)
    with pytest.raises(torch.OutOfMemoryError):
        stage(backbone, passes)
    assert passes.refused == 0 and passes.take_notes() == ()


def ways(network: FlowTransformer) -> set[object]:
    return {part.attend for part in network.modules() if isinstance(part, Attention)}


def test_a_kernel_that_is_named_is_used_and_one_that_does_not_work_is_told(tiny_folder: Path) -> None:
    named = load_backbone(tiny_folder, "cpu", "float32", kernels=KernelConfig(attention="math"))
    assert attend not in ways(named.stage_one) | ways(named.stage_zero) and not named.passes.take_notes()
    q = torch.randn((1, 2, 20, 8), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(attend_by("math")(q, q, q), attend(q, q, q), atol=CLOSE, rtol=CLOSE)
    refused = load_backbone(tiny_folder, "cpu", "float32", kernels=KernelConfig(attention="cudnn"))
    assert ways(refused.stage_one) == {attend}
    notes = refused.passes.take_notes()
    assert [note.code for note in notes] == ["attention_refused"] and "'cudnn'" in notes[0].text


class OnAGpu:
    """A tensor that says so."""

    def __init__(self) -> None:
        self.device = torch.device("cuda")


def test_auto_takes_the_fastest_kernel_that_works(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([3.0, RuntimeError("no kernel"), 2.0])
    monkeypatch.setattr(module, "_seconds", lambda way, probe, laps=3: next(times))
    network = FlowTransformer(backbone.stage_one.sizes)
    assert use_kernels([network], KernelConfig(), OnAGpu(), Passes()) == "cudnn"
    assert attend not in ways(network)
    monkeypatch.setattr(module, "_seconds", lambda way, probe, laps=3: RuntimeError("none"))
    plain = FlowTransformer(backbone.stage_one.sizes)
    assert use_kernels([plain], KernelConfig(), OnAGpu(), Passes()) == "auto" and ways(plain) == {attend}
    assert use_kernels([plain], KernelConfig(), torch.zeros(1, 1, 4, 8), Passes()) == "auto"


def test_the_first_step_when_memory_runs_out_is_halves_apart(backbone: Backbone) -> None:
    memory = DeviceMemory(backbone.memory.networks, torch.device("cpu"), 0, together=True)
    pieces = memory.piece_bytes
    assert "one after the other" in str(memory.save()) and not memory.together and memory.piece_bytes == pieces
    sizes = backbone.stage_one.sizes
    assert window_bytes(sizes, 16, 2, 1 << 20, halves=2) > window_bytes(sizes, 16, 2, 1 << 20)


@torch.no_grad()
def test_a_pass_waits_for_no_value(backbone: Backbone) -> None:
    """On tensors without data whatever looked at a value would fail: a GPU would wait for it."""
    ghost = build(SIZES["tiny"], torch.device("meta"), torch.bfloat16)
    patches = ghost.encoder_one.grid**2 + 1
    context = torch.empty((ghost.frames, patches, ghost.encoder_one.width), device="meta", dtype=torch.bfloat16)
    config = SIZES["tiny"].config({"sampling.guidance": 3.0, "reinforce.mode": "off"})
    found = ghost.denoise(torch.empty((ghost.tokens, ghost.channels), device="meta"), context, config, seed=0)
    assert found.latents.is_meta and found.maps.token_tokens.is_meta
