"""A textured plane that moves before a camera, drawn exactly; its motion is a closed form of the stamp. ROS-free."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from attnchain_ros.rollout.window import CameraTrack, PointTracks, WindowResult

HEIGHT, WIDTH = 120, 160
INTRINSICS = np.array([[150.0, 0, 79.5], [0, 150.0, 59.5], [0, 0, 1]])
ACROSS, DOWN = 1.0, 0.7
"""Half of the plane's sides, object units."""
COLUMNS, ROWS = 25, 17
_TEXTURE = (200, 140)


def texture() -> np.ndarray:
    """[140, 200, 3] uint8: smoothed noise with strong contrast."""
    noise = np.random.default_rng(5).normal(size=(_TEXTURE[1], _TEXTURE[0], 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.0)
    return np.clip(128 + 60 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def pose_at(stamp_ns: int) -> np.ndarray:
    """camera_from_object [4, 4]: goes to and fro and turns, three units ahead."""
    t = stamp_ns * 1e-9
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_rotvec([0.5 + 0.2 * np.sin(1.1 * t), 0.5 * np.sin(0.9 * t), 0.3 * t]).as_matrix()
    pose[:3, 3] = 0.3 * np.sin(0.8 * t), 0.15 * np.sin(1.3 * t), 3.0
    return pose


def image_at(stamp_ns: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    """[H, W, 3] uint8 RGB of the plane on grey; ``size`` beyond the usual one scales the camera with it."""
    return _draw(texture(), stamp_ns, size, 90)


def mask_at(stamp_ns: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    """[H, W] bool."""
    return _draw(np.full((_TEXTURE[1], _TEXTURE[0]), 255, np.uint8), stamp_ns, size, 0) > 127


def intrinsics_of(size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    """[3, 3] K of pictures of a size."""
    factor = size[1] / WIDTH
    affine = np.array([[factor, 0, 0.5 * factor - 0.5], [0, factor, 0.5 * factor - 0.5], [0, 0, 1.0]])
    return affine @ INTRINSICS


def _draw(picture: np.ndarray, stamp_ns: int, size: tuple[int, int], around: int) -> np.ndarray:
    # Pixel (column, row) of the texture -> point of the plane -> pixel of the image: a homography.
    width, height = _TEXTURE
    to_plane = np.array(
        [[2 * ACROSS / width, 0, ACROSS / width - ACROSS], [0, 2 * DOWN / height, DOWN / height - DOWN], [0, 0, 1.0]]
    )
    pose = pose_at(stamp_ns)
    onto = intrinsics_of(size) @ np.column_stack([pose[:3, 0], pose[:3, 1], pose[:3, 3]]) @ to_plane
    return cv2.warpPerspective(
        picture, onto, (size[1], size[0]), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT,
        borderValue=(around,) * 3,
    )  # fmt: skip


def mesh() -> tuple[np.ndarray, np.ndarray]:
    """Vertices [V, 3] float32 of a grid over the plane, faces [T, 3] int32 that look at the camera."""
    x, y = np.meshgrid(np.linspace(-ACROSS, ACROSS, COLUMNS), np.linspace(-DOWN, DOWN, ROWS))
    vertices = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1).astype(np.float32)
    number = np.arange(x.size).reshape(ROWS, COLUMNS)
    a, b, c, d = (part.ravel() for part in (number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]))
    return vertices, np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)]).astype(np.int32)


def make_result(
    stamps_ns: np.ndarray, *, index: int = 0, shared_first: bool = False, tracks: int = 60, scale: float = 1.0
) -> WindowResult:
    """The true answer for a window; every so manyth vertex is a track."""
    frames = len(stamps_ns)
    vertices, faces = mesh()
    rows = np.linspace(0, len(vertices) - 1, tracks).round().astype(int)
    poses = np.stack([pose_at(int(stamp)) for stamp in stamps_ns])
    in_camera = np.einsum("fij,vj->fvi", poses[:, :3, :3], vertices[rows]) + poses[:, None, :3, 3]
    pixels = in_camera @ INTRINSICS.T
    return WindowResult(
        index=index, topology_id=1, stamps_ns=np.asarray(stamps_ns, np.int64), shared_first=shared_first,
        vertices=np.repeat(vertices[None], frames, axis=0), faces=faces,
        vertex_colors=np.full((len(vertices), 3), 100, np.uint8), confidence=np.ones(frames, np.float32),
        landmark_vertices=rows[:4], landmarks=np.repeat(vertices[None, rows[:4]], frames, axis=0),
        landmark_valid=np.ones((frames, 4), bool),
        tracks=PointTracks(
            ids=100 + np.arange(tracks), points_px=(pixels[..., :2] / pixels[..., 2:]).astype(np.float32),
            points_object=np.repeat(vertices[None, rows], frames, axis=0), points_camera=in_camera.astype(np.float32),
            visible=np.ones((frames, tracks), bool), confidence=np.ones((frames, tracks), np.float32),
            colors=np.full((tracks, 3), (1, 2, 3), np.uint8), face=np.zeros(tracks, np.int32),
            barycentric=np.zeros((tracks, 3), np.float32),
        ),
        camera=CameraTrack(INTRINSICS, True, poses, np.ones(frames, bool), np.full(frames, 50, np.int32),
                           np.full(frames, 0.3, np.float32)),
        scale=scale, metric=scale != 1.0, silhouette_iou=1.0,
    )  # fmt: skip
