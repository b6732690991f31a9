"""A made-up clip with everything known: a bending bar that turns in front of a striped background."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
import trimesh

from attnchain_ros.camera.raycast import rasterize
from attnchain_ros.notes import Note
from attnchain_ros.rollout.window import CameraTrack, PointTracks, WindowResult

SIZE = (120, 160)


@dataclass(frozen=True)
class Scene:
    """images [F, H, W, 3], masks [F, H, W], one result for each window, faces [T, 3], vertices [F, V, 3]."""

    images: np.ndarray
    masks: np.ndarray
    vertices: np.ndarray
    faces: np.ndarray
    windows: list[tuple[slice, WindowResult]]


def build_scene(frames: int = 10, size: int = 4, scale: float = 1.0, subdivisions: int = 2) -> Scene:
    """Windows of ``size`` frames that share one; frame 2 has no camera pose."""
    height, width = SIZE
    ball = trimesh.creation.icosphere(subdivisions=subdivisions)
    rest = ball.vertices * [0.8, 0.3, 0.25]
    rest = rest + 0.04 * np.sin(9 * rest[:, [1, 2, 0]])
    faces = ball.faces.astype(np.int32)
    phase = np.arange(frames) / 8
    bend = 0.5 * np.sin(phase)[:, None] * rest[:, 0] ** 2
    vertices = np.repeat(rest[None], frames, axis=0)
    vertices[..., 1] += bend
    turn = np.array([[[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]] for a in 0.3 * phase])
    vertices = np.einsum("fij,fvj->fvi", turn, vertices).astype(np.float32)
    colours = np.clip(128 + 140 * rest, 0, 255).astype(np.uint8)

    intrinsics = np.array([[150.0, 0, (width - 1) / 2], [0, 150.0, (height - 1) / 2], [0, 0, 1]])
    camera = np.repeat(np.diag([1.0, -1.0, -1.0, 1.0])[None], frames, axis=0)
    camera[:, 2, 3] = 3.0
    camera[:, 0, 3] = 0.25 * phase - 0.15
    y, x = np.mgrid[:height, :width]
    ground = np.dstack([150 + 40 * np.sin(x / 9), 140 + 30 * np.cos((x + y) / 13), 110 + 0.5 * y]).astype(np.uint8)
    images, masks, points, seen = [], [], [], []
    rng = np.random.default_rng(0)
    ids = rng.choice(len(rest), 40, replace=False)
    for frame in range(frames):
        in_camera = vertices[frame] @ camera[frame, :3, :3].T + camera[frame, :3, 3]
        buffer = rasterize(in_camera, faces, intrinsics, height, width)
        mask = buffer.face >= 0
        image = ground.copy()
        image[mask] = (colours[faces[buffer.face[mask]]] * buffer.barycentric[mask][..., None]).sum(axis=1)
        images.append(cv2.GaussianBlur(image, (3, 3), 0))
        masks.append(mask)
        points.append(in_camera[ids])
        depth = buffer.depth[tuple(np.rint((in_camera @ intrinsics.T)[ids, 1::-1] / in_camera[ids, 2:]).astype(int).T)]
        seen.append(in_camera[ids, 2] < depth + 0.05)
    points_camera = np.array(points, np.float32)
    projected = points_camera @ intrinsics.T
    pixels = (projected[..., :2] / projected[..., 2:]).astype(np.float32)
    valid = np.arange(frames) != 2
    windows = []
    for index, start in enumerate(range(0, frames - 1, size - 1)):
        part = slice(start, min(start + size, frames))
        count = part.stop - part.start
        windows.append(
            (
                part,
                WindowResult(
                    index=index,
                    topology_id=1,
                    stamps_ns=np.arange(part.start, part.stop) * 33_333_333 + 1_700_000_000_000_000_000,
                    shared_first=index > 0,
                    vertices=vertices[part],
                    faces=faces,
                    vertex_colors=colours,
                    confidence=np.linspace(1, 0.8, count).astype(np.float32),
                    landmark_vertices=np.arange(5),
                    landmarks=vertices[part, :5],
                    landmark_valid=np.ones((count, 5), bool),
                    tracks=PointTracks(
                        ids=np.arange(40),
                        points_px=pixels[part],
                        points_object=vertices[part][:, ids],
                        points_camera=points_camera[part],
                        visible=np.array(seen)[part],
                        confidence=np.full((count, 40), 0.5, np.float32),
                        colors=colours[ids],
                        face=np.zeros(40, np.int32),
                        barycentric=np.zeros((40, 3), np.float32),
                    ),
                    camera=CameraTrack(
                        intrinsics=intrinsics,
                        intrinsics_given=True,
                        camera_from_object=camera[part],
                        valid=valid[part],
                        inliers=np.full(count, 30, np.int32),
                        reprojection_px=np.full(count, 0.5, np.float32),
                        covariance=np.tile(np.diag([1e-4] * 6), (count, 1, 1)),
                    ),
                    scale=scale,
                    metric=scale != 1.0,
                    silhouette_iou=0.9,
                    timings_s={"denoising": 1.5 + index, "camera": 0.5},
                    notes=(
                        Note("focal_assumed", "the focal length was assumed"),
                        Note("fine", f"window {index} was fine"),
                    ),
                ),
            )
        )
    return Scene(np.array(images), np.array(masks), vertices, faces, windows)


@pytest.fixture(scope="session")
def make_scene() -> Callable[..., Scene]:
    """``build_scene``, for test modules (which cannot import this file by name)."""
    return build_scene
