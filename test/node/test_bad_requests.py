"""Parameters, checkpoint folders and service requests that cannot be used, each with its answer; then a good window.

One process of the real node on a tiny checkpoint, asked over DDS.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lifecycle_msgs.srv import GetState
from node.hand_made import COLORS, FACES, INTRINSICS, VERTICES
from node.ros_harness import RELIABLE, Camera, Client, NodeProcess
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue, SetParametersResult
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from safetensors.torch import load_file, save_file
from std_srvs.srv import SetBool, Trigger

from attnchain_ros.backbone import weights
from attnchain_ros.files.meshes import write_mesh
from attnchain_ros.mesh.types import Mesh
from attnchain_ros.msg import AnimatedMesh
from attnchain_ros.srv import GetMesh, SaveMesh

pytestmark = pytest.mark.ros

NAME = "attnchain_node"
STEP_NS = 50_000_000
FRAMES = 4
QUICK: dict[str, Any] = {
    "sampling.steps": 2, "surface.grid": 16, "surface.coarse_grid": 8, "surface.n_surface": 128,
    "surface.candidate_grid": 16, "encode_points": 128, "animation.landmarks": 16, "tracks.max_queries": 20,
    "camera.iterations": 20, "device": "cpu", "dtype": "float32", "autostart": False, "queue_size": 16,
    "overflow_policy": "block", "max_gap_s": 0.0, "watchdog_s": 0.0,
}  # fmt: skip
NAN, INFINITY = float("nan"), float("inf")

# Refused in every state: changes that go together, reason.
PARAMETERS: list[tuple[dict[str, Any], str]] = [
    ({"sampling.steps": "four"}, "sampling.steps is 'four' (str), wanted a value of type int"),
    ({"sampling.steps": 2.5}, "sampling.steps is 2.5 (float), wanted a value of type int"),
    ({"sampling.steps": True}, "sampling.steps is True (bool), wanted a value of type int"),
    ({"sampling.steps": None}, "sampling.steps is None (NoneType), wanted a value of type int"),
    ({"publish.mesh": 1}, "publish.mesh is 1 (int), wanted a value of type bool"),
    ({"mask_mode": 1}, "mask_mode is 1 (int), wanted a value of type str"),
    ({"match.radius": "big"}, "match.radius is 'big' (str), wanted a value of type float"),
    ({"match.radius": None}, "match.radius is None (NoneType), wanted a value of type float"),
    ({"mask_tolerance_s": [0.1]}, "mask_tolerance_s is array('d', [0.1]) (array), wanted a value of type float"),
    ({"sampling.steps": 0}, "sampling.steps is 0, the least allowed is 1"),
    ({"object_id": -1}, "object_id is -1, the least allowed is 0"),
    ({"watchdog_s": -1.0}, "watchdog_s is -1.0, the least allowed is 0.0"),
    ({"match.radius": NAN}, "match.radius is not a number"),
    ({"match.radius": INFINITY}, "match.radius is inf, the most allowed is 2.0"),
    ({"mask_mode": "some"}, "mask_mode is 'some', wanted one of first, latest, every"),
    ({"overflow_policy": ""}, "overflow_policy is '', wanted one of adaptive, drop_oldest, block"),
    ({"foreground": "rembg"}, "foreground is 'rembg', wanted one of none, grabcut"),
    ({"mask_mod": "latest"}, "unknown parameter 'mask_mod'; did you mean mask_mode"),
    ({"zzz": 1}, "unknown parameter 'zzz'"),
    ({"autostart": True}, "autostart is only read at start-up: give it with -p autostart:=..."),
    ({"queue_size": 2}, "queue_size is 2, but a window has 16 frames: raise queue_size or lower frames"),
    ({"frames": 64}, "queue_size is 16, but a window has 64 frames"),
    ({"stride": 2, "mask_mode": "never"}, "mask_mode is 'never', wanted one of"),
]
# Only looked at where it could be changed at all.
BOXES: list[tuple[dict[str, Any], str]] = [
    ({"foreground_box": "1,2,3"}, "foreground_box is '1,2,3', wanted 4 numbers separated by commas"),
    ({"foreground_box": "0,0,0,9"}, "foreground_box is '0,0,0,9': x and y are at least 0, width and height at least 2"),
]
# Refused while the node is configured, as what they were has been built already, or does not fit the checkpoint.
WHILE_CONFIGURED: list[tuple[dict[str, Any], str]] = [
    ({"weights": "elsewhere"}, "weights is only read when the node is configured: clean it up first, then set it"),
    ({"device": "auto"}, "device is only read when the node is configured"),
    ({"anchor_mesh": ""}, "anchor_mesh is only read when the node is configured"),
    ({"output_dir": "elsewhere"}, "output_dir is only read when the node is configured"),
    ({"image_transport": "compressed"}, "image_transport is only read when the node is configured"),
    ({"readout.layers": "9"}, "readout.layers names [9], this network has [0, 2]"),
    ({"readout.layers": "a,b"}, "readout.layers is 'a,b', wanted 'all', 'last' or numbers such as '2,3,4'"),
    ({"readout.steps": "2"}, "readout.steps names [2], this network has [0, 1]"),
    ({"surface.grid": 24}, "surface.grid (or surface.candidate_grid) is 24 and surface.coarse_grid 8: their ratio"),
    ({"anchor_rotation_deg": "90"}, "anchor_rotation_deg is '90', wanted three angles such as '0,90,0'"),
]


def edit_json(name: str, **changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        known = json.loads(path.read_text()) if path.is_file() else {}
        path.write_text(json.dumps({**known, **changes}))

    return change


def edit_weights(name: str, key: str, shape: tuple[int, ...]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        state = load_file(str(folder / name))
        save_file({**state, key: torch.zeros(shape)}, str(folder / name), metadata={"format": "pt"})

    return change


def cut(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) // 2])

    return change


def pickled(ending: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / weights.VAE_FILE
        state = load_file(str(path))
        path.unlink()
        torch.save(state, path.with_suffix(ending))

    return change


DENOISER = "ActionMesh/denoiser/config.json"
# What is done to a good folder, what the log says.
FOLDERS: list[tuple[Callable[[Path], Any], str]] = [
    (shutil.rmtree, "no checkpoint folder at"),
    (lambda folder: (folder / weights.VAE_FILE).unlink(), "diffusion_pytorch_model.safetensors is missing: put the"),
    (cut(weights.STAGE_ONE_FILE), "denoiser/model.safetensors is no readable safetensors file"),
    (edit_weights(weights.STAGE_ZERO_FILE, "proj_in.weight", (32, 7)),
     "does not fit its config: proj_in.weight has shape [32, 7], the config asks for [32, 6]"),
    (edit_weights(weights.VAE_FILE, "decoder.more", (1,)), "does not fit its config: unknown keys: decoder.more"),
    (pickled(".bin"), "diffusion_pytorch_model.bin beside it is a pickle, which is not read: convert it"),
    (pickled(".safetensors"), "vae/diffusion_pytorch_model.safetensors is no readable safetensors file"),
    (lambda folder: (folder / DENOISER).write_text("{"), "denoiser/config.json cannot be read as JSON"),
    (lambda folder: (folder / DENOISER).unlink(), "denoiser/config.json is missing: is"),
    (edit_json(DENOISER, num_layers=10**12), "num_layers is 1000000000000, wanted at most 512: is the file damaged?"),
    (edit_json(DENOISER, num_attention_heads=5), "width 32 cannot be split into 5 heads of even width"),
    (edit_json(DENOISER, temporal_context_size=10**6), "frames is 1000000, the most allowed is 256"),
    (edit_json("attnchain.json", recommended=["x"]), "attnchain.json: recommended is a list, wanted an object of"),
    (edit_json("attnchain.json", recommended={"sampling.step": 3}), "names the option 'sampling.step', which there is"),
    (edit_json("attnchain.json", recommended={"match.radius": "1"}), "recommended match.radius is '1', wanted a value"),
    (edit_json(weights.SCHEDULER_FILE, shift="3"), "scheduler_config.json: shift is '3', wanted a positive number"),
]  # fmt: skip
# Accepted when set, since they may be meant for another machine or be there by then; configure says why not.
AT_CONFIGURE: list[tuple[str, str, str]] = [
    ("device", "gpu", "unknown device 'gpu', wanted auto, cpu, cuda or cuda:N"),
    ("device", "meta", "device 'meta' is not supported, wanted auto, cpu, cuda or cuda:N"),
    ("device", "cuda:99", "device 'cuda:99' asked for, but "),
    ("weights", "{place}/nowhere", "no checkpoint folder at {place}/nowhere: give the folder that holds TripoSG/"),
    ("weights", "{place}/file", "no checkpoint folder at {place}/file"),
    ("anchor_mesh", "{place}/nowhere.ply", "mesh {place}/nowhere.ply does not exist"),
    ("anchor_mesh", "{place}/file", "{place}/file: no ending is not a mesh format, wanted .glb, .gltf, .ply"),
    ("anchor_mesh", "{place}/broken.ply", "mesh {place}/broken.ply cannot be read: "),
    ("anchor_mesh", "{place}/points.ply", "mesh {place}/points.ply has no triangles: point clouds and curves cannot"),
    ("readout.heads", "7", "readout.heads names [7], this network has [0, 1]"),
    ("readout.patch_layers", "x", "readout.patch_layers is 'x', wanted 'all', 'last' or numbers such as '2,3,4'"),
    ("anchor_rotation_deg", "0,nan,0", "anchor_rotation_deg is '0,nan,0', wanted three angles"),
]
NOT_CONFIGURED = "the node is not configured: configure and activate it first"
NO_MESH = "there is no mesh yet: wait for the first window"
# Path, whether to replace, message.
SAVES: list[tuple[str, bool, str]] = [
    ("../mesh.glb", False, "'../mesh.glb' has a '..' in it: give a name below {out}"),
    ("sub/../../mesh.glb", True, "has a '..' in it"),
    ("{place}/mesh.glb", False, "'{place}/mesh.glb' leads out of {out} (to {place}/mesh.glb): give a name below it"),
    ("away/mesh.glb", True, "'away/mesh.glb' leads out of {out}"),
    ("link.glb", True, "'link.glb' leads out of {out} (to {place}/kept.glb)"),
    ("mesh.stl", False, "'mesh.stl' ends in '.stl', wanted one of .glb, .ply, .obj, .npz"),
    ("mesh", False, "'mesh' ends in '', wanted one of .glb, .ply, .obj, .npz"),
    ("", False, "the file name is empty: give one, relative to the output folder"),
    (".", True, "'.' is the output folder itself: give the name of a file in it"),
    ("there.glb", False, "{out}/there.glb exists already: set overwrite, or choose another name"),
    ("folder.glb", True, "{out}/folder.glb is a folder, wanted the name of a file to write"),
    ("there.glb/mesh.glb", False, "cannot write in {out}/there.glb: "),
    ("n" * 300 + ".glb", False, "File name too long"),
]


class Asker:
    """The node's services."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def set(self, changes: dict[str, Any]) -> SetParametersResult:
        """One parameter by ``set_parameters``, several by ``set_parameters_atomically``."""
        parameters = [Parameter(name=name, value=value_message(value)) for name, value in changes.items()]
        if len(parameters) == 1:
            request = SetParameters.Request(parameters=parameters)
            return self._client.call(SetParameters, f"{NAME}/set_parameters", request).results[0]
        request = SetParametersAtomically.Request(parameters=parameters)
        return self._client.call(SetParametersAtomically, f"{NAME}/set_parameters_atomically", request).result

    def transition(self, label: str) -> bool:
        return self._client.transition(NAME, label)

    def state(self) -> str:
        return self._client.ask(GetState, f"{NAME}/get_state", GetState.Request()).current_state.label

    def save(self, path: str, overwrite: bool = False) -> SaveMesh.Response:
        return self._client.call(SaveMesh, f"{NAME}/save_mesh", SaveMesh.Request(path=path, overwrite=overwrite))

    def get(self, object_id: int) -> GetMesh.Response:
        return self._client.call(GetMesh, f"{NAME}/get_mesh", GetMesh.Request(object_id=object_id))

    def refuses(self, table: list[tuple[dict[str, Any], str]]) -> None:
        for changes, reason in table:
            answer = self.set(changes)
            assert not answer.successful and reason in answer.reason, (changes, answer.reason)


def value_message(value: Any) -> ParameterValue:
    """A value as ROS sends it; None = not set."""
    if value is None:
        return ParameterValue()
    code, field = {
        bool: (ParameterType.PARAMETER_BOOL, "bool_value"),
        int: (ParameterType.PARAMETER_INTEGER, "integer_value"),
        float: (ParameterType.PARAMETER_DOUBLE, "double_value"),
        str: (ParameterType.PARAMETER_STRING, "string_value"),
        list: (ParameterType.PARAMETER_DOUBLE_ARRAY, "double_array_value"),
    }[type(value)]
    return ParameterValue(type=code, **{field: value})


def test_each_is_answered_and_the_same_node_goes_on(client: Client, tmp_path: Path, tiny_folder: Path):
    place, out = tmp_path.resolve(), tmp_path.resolve() / "out"
    good = {"weights": str(tiny_folder), "anchor_mesh": str(place / "anchor.ply"), "device": "cpu"}
    good |= {"readout.heads": "all", "readout.patch_layers": "all", "anchor_rotation_deg": "0,0,0"}
    write_mesh(place / "anchor.ply", Mesh(VERTICES, FACES, COLORS))
    (place / "file").write_text("no folder, no mesh")
    (place / "broken.ply").write_text("rubbish")
    (place / "points.ply").write_text("ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\n"
                                      "property float z\nend_header\n0 0 0\n")  # fmt: skip
    out.mkdir()
    (place / "kept.glb").write_text("kept")
    (out / "away").symlink_to(place)
    (out / "link.glb").symlink_to(place / "kept.glb")
    (out / "there.glb").write_text("there")
    (out / "folder.glb").mkdir()
    node = NodeProcess(place / "node.log", real=True, parameters={**QUICK, **good, "output_dir": str(out)})
    ask = Asker(client)

    def said(text: str, since: int) -> None:
        client.wait_until(lambda: text in node.text()[since:], f"the log says: {text}\n{node.text()[since:]}", 20.0)

    def configure_fails(text: str) -> None:
        since = len(node.text())
        assert not ask.transition("configure"), text
        said("configure failed: ", since)
        said(text, since)
        assert ask.state() == "unconfigured"

    try:
        ask.refuses([*PARAMETERS, *BOXES])
        for outside in (place, out / "..", out / "away"):
            ask.refuses([({"output_dir": str(outside)}, f"which leads out of {out}, the one given at start-up")])
        assert ask.set({"output_dir": str(out / "below")}).successful and ask.set({"output_dir": str(out)}).successful
        for answer in (
            ask.save("mesh.glb"),
            ask.get(0),
            client.call(Trigger, f"{NAME}/reset", Trigger.Request()),
            client.call(SetBool, f"{NAME}/enable", SetBool.Request(data=False)),
        ):
            assert not answer.success and answer.message == NOT_CONFIGURED
        assert not ask.transition("activate") and not ask.transition("fly") and ask.state() == "unconfigured"

        for name, value, text in AT_CONFIGURE:
            assert ask.set({name: value.format(place=place)}).successful, (name, value)
            configure_fails(text.format(place=place))
            assert ask.set({name: good[name]}).successful
        folder = place / "weights"
        assert ask.set({"weights": str(folder)}).successful
        for spoil, text in FOLDERS:
            shutil.copytree(tiny_folder, folder)
            spoil(folder)
            configure_fails(text)
            shutil.rmtree(folder, ignore_errors=True)
        assert ask.set({"weights": good["weights"]}).successful

        assert ask.transition("configure") and ask.transition("activate")
        ask.refuses(PARAMETERS)
        ask.refuses(WHILE_CONFIGURED)
        for answer in (ask.save("mesh.glb"), ask.get(0)):
            assert not answer.success and answer.message == NO_MESH

        mesh = client.listen(f"{NAME}/mesh", AnimatedMesh)
        camera = Camera(client, INTRINSICS, RELIABLE)
        camera.wait_for_node()
        stamps = [10**9 + number * STEP_NS for number in range(2 * FRAMES - 1)]
        camera.send(stamps[:FRAMES])
        client.wait_until(lambda: len(mesh) == 1, f"the first window\n{node.text()}")
        before = {path: path.is_file() and path.read_bytes() for path in place.rglob("*") if path.suffix == ".glb"}
        for path, overwrite, text in SAVES:
            answer = ask.save(path.format(place=place), overwrite)
            assert not answer.success and answer.path == "", path
            assert text.format(place=place, out=out) in answer.message, answer.message
        answer = ask.get(7)
        assert not answer.success and answer.message == "there is no object 7, only object 1"
        after = {path: path.is_file() and path.read_bytes() for path in place.rglob("*") if path.suffix == ".glb"}
        assert after == before, "nothing was written"

        # After all of them: the next window goes on from the first, and good requests are answered.
        camera.send(stamps[FRAMES:])
        client.wait_until(lambda: len(mesh) == 2, f"the second window\n{node.text()}")
        assert [message.window_index for message in mesh] == [0, 1]
        assert mesh[1].frame_count == FRAMES and np.isfinite(np.array(mesh[1].vertices)).all()
        assert ask.get(1).success and ask.save("mesh.glb").success and ask.set({"sampling.steps": 3}).successful
        assert "Traceback" not in node.text()
    finally:
        node.kill()
