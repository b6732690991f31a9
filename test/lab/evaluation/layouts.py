"""Tiny data sets on disk in the published layouts: a disc that moves to the right."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

FRAMES, HEIGHT, WIDTH = 6, 40, 48


def pictures() -> tuple[np.ndarray, np.ndarray]:
    """Images [F, H, W, 3] uint8 RGB with some texture, and masks of the disc."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    images, masks = [], []
    for frame in range(FRAMES):
        disc = (x - 16 - 2 * frame) ** 2 + (y - 20) ** 2 < 100
        texture = (60 * np.sin((x - 2 * frame) * 0.9) * np.cos(y * 0.8) + 150).astype(np.uint8)
        image = np.dstack([np.where(disc, texture, 40), np.full_like(texture, 90), np.where(disc, 200, 60)])
        images.append(image.astype(np.uint8))
        masks.append(disc)
    return np.stack(images), np.stack(masks)


def write_png(path: Path, image: np.ndarray) -> None:
    """One RGB, RGBA or grey picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    order = {2: None, 3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}[image.ndim if image.ndim == 2 else image.shape[2]]
    assert cv2.imwrite(str(path), image if order is None else cv2.cvtColor(image, order))


def actionbench(root: Path, place: str = "rgba") -> np.ndarray:
    """One object with 30 points on a sphere that moves; returns surfaces [F, 30, 6]."""
    images, masks = pictures()
    for frame, (image, mask) in enumerate(zip(images, masks, strict=True)):
        write_png(root / "uid7" / place / f"{frame:02d}.png", np.dstack([image, mask.astype(np.uint8) * 255]))
    normals = np.random.default_rng(0).normal(size=(30, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    points = normals * 0.5 + np.arange(FRAMES)[:, None, None] * np.array([0.05, 0, 0])
    surfaces = np.concatenate([points, np.broadcast_to(normals, points.shape)], axis=2).astype(np.float32)
    np.save(root / "uid7" / "surfaces.npy", surfaces)
    return surfaces


def tapvid_entry() -> dict[str, np.ndarray]:
    """What the published file holds for one video: three points, one of them off the disc."""
    start = np.array([[16.0, 20], [12, 16], [44, 4]])
    way = start[:, None] + np.arange(FRAMES)[None, :, None] * np.array([[[2.0, 0]], [[2, 0]], [[0, 0]]])
    occluded = np.zeros((3, FRAMES), bool)
    occluded[1, :2] = True
    occluded[0, 4] = True
    points = ((way + 0.5) / [WIDTH, HEIGHT]).astype(np.float32)
    return {"video": pictures()[0], "points": points, "occluded": occluded}


def tapvid(root: Path, masks: bool = True) -> None:
    """One video, with a folder of masks."""
    root.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(root / "disc.npz", **tapvid_entry())
    if masks:
        for frame, mask in enumerate(pictures()[1]):
            write_png(root / "masks" / "disc" / f"{frame}.png", mask.astype(np.uint8) * 255)


def badja(root: Path) -> None:
    """One animal of 37 joints, annotated in frames 1, 3 and 5 of six; joint 8 is on the disc, 9 hidden at frame 3."""
    images, masks = pictures()
    for frame, (image, mask) in enumerate(zip(images, masks, strict=True)):
        write_png(root / f"DAVIS/JPEGImages/Full-Resolution/disc/{frame:05d}.png", image)
        small = cv2.resize(mask.astype(np.uint8), (WIDTH // 2, HEIGHT // 2), interpolation=cv2.INTER_NEAREST)
        write_png(root / f"DAVIS/Annotations/Full-Resolution/disc/{frame:05d}.png", small * 255)
    entries = []
    for frame in (1, 3, 5):
        joints = np.zeros((37, 2))
        visibility = np.zeros(37, int)
        joints[8], joints[9] = (20, 16 + 2 * frame), (25, 14 + 2 * frame)  # y, x
        visibility[8], visibility[9] = 1, frame != 3
        entries.append(
            {
                "image_path": f"DAVIS/JPEGImages/Full-Resolution/disc/{frame:05d}.png",
                "segmentation_path": f"DAVIS/Annotations/Full-Resolution/disc/{frame:05d}.png",
                "joints": joints.tolist(),
                "visibility": visibility.tolist(),
            }
        )
    (root / "joint_annotations").mkdir(parents=True, exist_ok=True)
    (root / "joint_annotations" / "disc.json").write_text(json.dumps(entries), encoding="utf-8")
    (root / "joint_annotations" / "cat_jump.json").write_text("[]", encoding="utf-8")


def worldtrack(root: Path, masks: bool = True, **other: np.ndarray) -> np.ndarray:
    """One video of a camera that moves past a disc; returns the points [F, 3, 3] in the first camera."""
    images, discs = pictures()
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    poses[:, 0, 3] = 0.1 * np.arange(FRAMES)
    world = np.array([[-0.4, 0, 2.0], [-0.5, 0.1, 2.0], [0.9, 0, 2.0]])
    moving = np.repeat(world[None], FRAMES, axis=0)
    moving[:, 1, 2] += 0.05 * np.arange(FRAMES)
    arrays = {
        "images_jpeg_bytes": np.array([cv2.imencode(".jpg", image[..., ::-1])[1].tobytes() for image in images]),
        "tracks_XYZ": moving + poses[:, None, :3, 3],
        "visibility": np.ones((FRAMES, 3), bool),
        "fx_fy_cx_cy": np.array([40.0, 40, 24, 20]),
        "extrinsics_w2c": poses,
    }
    if masks:
        arrays["masks"] = discs
    root.mkdir(parents=True, exist_ok=True)
    np.savez(root / "disc.npz", **(arrays | other))
    return moving
