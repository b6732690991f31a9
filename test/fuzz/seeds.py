"""Good files of every kind that the package reads: what the fuzzer spoils. Small, so that thousands can be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import trimesh
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from attnchain_ros.files.animation import write_animated_glb
from attnchain_ros.files.bag_types import bag_types
from attnchain_ros.files.images import IMAGE_ENDINGS
from attnchain_ros.files.meshes import READ_ENDINGS
from attnchain_ros.files.videos import VIDEO_ENDINGS

H, W, FRAMES = 24, 32, 4


def picture(number: int, channels: int = 4) -> np.ndarray:
    """[H, W, channels] uint8: a square that moves, in the alpha channel, too."""
    found = np.full((H, W, channels), 40 + 10 * number, np.uint8)
    found[4:16, 3 + number : 15 + number, :3] = (200, 120, 60)
    if channels == 4:
        found[..., 3] = mask(number)
    return found


def mask(number: int) -> np.ndarray:
    """[H, W] uint8, 0 and 255."""
    found = np.zeros((H, W), np.uint8)
    found[4:16, 3 + number : 15 + number] = 255
    return found


def film(path: Path, codec: str, pixels: str, options: dict[str, str] | None = None, frames: int = FRAMES) -> Path:
    """A video of ``picture``; with alpha where ``pixels`` has it."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = W, H, pixels
        if codec.startswith("libvpx") and "yuva" in pixels:
            stream.metadata["alpha_mode"] = "1"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgba").reformat(format=pixels)
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def images(place: Path) -> None:
    """One of each format, and a mask of ids."""
    exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    metadata = ([cv2.IMAGE_METADATA_EXIF], [np.frombuffer(exif, np.uint8)])
    for name, channels in (("a.png", 4), ("b.jpg", 3), ("c.webp", 4)):
        good, data = cv2.imencodeWithMetadata(Path(name).suffix, picture(0, channels), *metadata)
        assert good
        (place / name).write_bytes(data.tobytes())
    cv2.imwrite(str(place / "d.png"), np.full((H, W), 900, np.uint16))
    cv2.imwrite(str(place / "e.png"), mask(0) // 255 * 3)


def folder(place: Path) -> None:
    """A clip with a folder of masks beside it."""
    (place / "clip").mkdir()
    (place / "masks").mkdir()
    for number in range(FRAMES):
        cv2.imwrite(str(place / "clip" / f"{number}.png"), picture(number, 3))
        cv2.imwrite(str(place / "masks" / f"{number}.png"), mask(number))


def videos(place: Path) -> None:
    """One of each container and of each way to store alpha."""
    film(place / "plain.mp4", "libx264", "yuv420p", {"preset": "ultrafast"})
    film(place / "plain.avi", "mjpeg", "yuvj420p")
    film(place / "plain.mkv", "ffv1", "bgr0")
    film(place / "plain.gif", "gif", "bgr8")
    film(place / "vp9.webm", "libvpx-vp9", "yuva420p", {"deadline": "realtime", "lossless": "1"})
    film(place / "vp8.webm", "libvpx", "yuva420p", {"deadline": "realtime", "auto-alt-ref": "0"})
    film(place / "qtrle.mov", "qtrle", "argb")
    film(place / "png.mov", "png", "rgba")
    film(place / "prores.mov", "prores_ks", "yuva444p10le")


def _messages() -> list[tuple[str, int, Any]]:
    types = bag_types().types

    def make(kind: str, **fields: Any) -> Any:
        return types[kind](**fields)

    def header(number: int) -> Any:
        stamp = make("builtin_interfaces/msg/Time", sec=100, nanosec=33_000_000 * number)
        return make("std_msgs/msg/Header", stamp=stamp, frame_id="cam")

    def image(number: int, encoding: str, values: np.ndarray) -> Any:
        return make(
            "sensor_msgs/msg/Image", header=header(number), height=H, width=W, encoding=encoding, is_bigendian=0,
            step=values.strides[0], data=np.frombuffer(values.tobytes(), np.uint8),
        )  # fmt: skip

    roi = make("sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    info = make(
        "sensor_msgs/msg/CameraInfo", header=header(0), height=H, width=W, distortion_model="plumb_bob",
        d=np.array([0.1, 0, 0, 0, 0]), k=np.array([30.0, 0, 15.5, 0, 30, 11.5, 0, 0, 1]), r=np.eye(3).ravel(),
        p=np.zeros(12), binning_x=0, binning_y=0, roi=roi,
    )  # fmt: skip
    found = [("/cam/camera_info", 0, info)]
    for number in range(FRAMES):
        data = np.frombuffer(cv2.imencode(".jpg", picture(number, 3))[1].tobytes(), np.uint8)
        jpeg = make("sensor_msgs/msg/CompressedImage", header=header(number), format="jpeg", data=data)
        depth = np.full((H, W), 1500, np.uint16)
        found += [
            ("/cam/image/compressed", number, jpeg),
            ("/cam/mask", number, image(number, "mono8", mask(number))),
            ("/cam/depth", number, image(number, "16UC1", depth)),
        ]
    return found


def bags(place: Path) -> None:
    """Both storages, and one that is compressed."""
    ways = {
        "mcap": (StoragePlugin.MCAP, CompressionMode.NONE),
        "packed": (StoragePlugin.MCAP, CompressionMode.STORAGE),
        "sqlite": (StoragePlugin.SQLITE3, CompressionMode.NONE),
    }
    for name, (storage, mode) in ways.items():
        writer = Writer(place / name, version=9, storage_plugin=storage)
        writer.set_compression(mode, CompressionFormat.ZSTD)
        with writer:
            known: dict[str, Any] = {}
            for topic, number, message in _messages():
                if topic not in known:
                    known[topic] = writer.add_connection(topic, message.__msgtype__, typestore=bag_types())
                data = bytes(bag_types().serialize_cdr(message, message.__msgtype__))
                writer.write(known[topic], 100 * 10**9 + 33_000_000 * number, data)


def meshes(place: Path) -> None:
    """Every format that is read, binary and as text, with colours and with a texture."""
    box = trimesh.creation.box((1.0, 0.6, 0.4))
    vertices, faces = box.vertices.astype(np.float32), box.faces.astype(np.int32)
    colours = np.arange(24, dtype=np.uint8).reshape(8, 3)
    write_animated_glb(place / "own.glb", np.stack([vertices, vertices + 1]), faces, colours, np.array([0.0, 0.1]))
    coloured = trimesh.Trimesh(vertices, faces, vertex_colors=colours, process=False)
    coloured.export(place / "box.glb")
    for name, data in trimesh.Scene(coloured).export(file_type="gltf").items():
        (place / name.replace("model", "box")).write_bytes(data)
    coloured.export(place / "binary.ply")
    (place / "text.ply").write_bytes(trimesh.exchange.ply.export_ply(coloured, encoding="ascii"))
    coloured.export(place / "binary.stl")
    (place / "text.stl").write_text(trimesh.exchange.stl.export_stl_ascii(coloured))
    cv2.imwrite(str(place / "skin.png"), picture(0, 3))
    (place / "skin.mtl").write_text("newmtl skin\nKd 0.2 0.4 0.6\nmap_Kd skin.png\n")
    (place / "skin.obj").write_text(
        "mtllib skin.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nvt 0 0\nvt 1 0\nvt 0 1\n"
        "usemtl skin\nf 1/1 2/2 3/3\nf 1/1 3/2 4/3\nf 1/1 4/2 2/3\nf 2/1 4/2 3/3\n"
    )
    np.savez(place / "plain.npz", vertices=vertices, faces=faces, vertex_colors=colours)


def weights(place: Path) -> None:
    """A random checkpoint in the published layout."""
    # transformers takes seconds to import.
    from tiny import write_tiny_checkpoint

    write_tiny_checkpoint(place / "weights")
    (place / "weights" / "attnchain.json").write_text(json.dumps({"name": "x", "recommended": {"sampling.steps": 4}}))


def lists(place: Path) -> None:
    """The list of published files, a recipe, and arrays by name."""
    from attnchain_ros.published.manifest import packaged_manifest

    (place / "manifest.json").write_bytes(packaged_manifest().read_bytes())
    recipe = Path(__file__).resolve().parents[2] / "recipes" / "small.json"
    (place / "recipe.json").write_bytes(recipe.read_bytes())
    video, points, occluded = np.zeros((2, H, W, 3), np.uint8), np.zeros((5, 2, 2)), np.zeros((5, 2), bool)
    np.savez(place / "arrays.npz", video=video, points=points, occluded=occluded)


def datasets(place: Path) -> None:
    """The four published benchmarks' layouts, and what an interrupted evaluation and a training leave behind."""
    from lab.evaluation import layouts

    for name in ("actionbench", "tapvid", "badja", "worldtrack"):
        getattr(layouts, name)(place / name)
    (place / "runs").mkdir()
    rows = [["e", "synthetic", "a", "walk", "", "", "mesh", "apd", -1, 0.5, ""]]
    lines = [{"weights": "a"}, {"piece": "a", "rows": rows}]
    (place / "runs" / "progress.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (place / "runs" / "log.jsonl").write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "held_out/iou": 0.5}\n')


MAKERS = {
    "images": images, "folder": folder, "videos": videos, "bags": bags, "meshes": meshes, "weights": weights,
    "lists": lists, "datasets": datasets,
}  # fmt: skip


def inputs(kind: str, place: Path) -> list[Path]:
    """What of a place a user would name."""
    if kind == "folder":
        return [place / "clip"]
    if kind == "weights":
        return [place / "weights"]
    if kind == "datasets":
        return [place / name for name in ("actionbench", "tapvid", "badja", "worldtrack", "runs")]
    if kind == "bags":
        return sorted(place.iterdir())
    endings = {"images": IMAGE_ENDINGS, "videos": VIDEO_ENDINGS, "meshes": READ_ENDINGS}.get(kind, (".json", ".npz"))
    return sorted(path for path in place.iterdir() if path.suffix in endings)
