"""What the benchmarks of the node look at: a spotted ball that wanders in front of a still background."""

from __future__ import annotations

import array
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import trimesh
from sensor_msgs.msg import Image

FRAME_ID = "camera_optical"
STEP_NS = 33_333_333


def draw_frame(number: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Frame ``number``: [H, W, 3] uint8 RGB and [H, W] bool mask; periodic in 60 frames."""
    phase = 2 * np.pi * (number % 60) / 60
    center = np.array([width * (0.5 + 0.08 * np.cos(phase)), height * (0.5 + 0.06 * np.sin(phase))])
    axes = np.array([height * 0.3, height * (0.22 + 0.03 * np.sin(phase))])
    image = np.full((height, width, 3), (70, 90, 110), np.uint8)
    mask = np.zeros((height, width), np.uint8)
    place, size = tuple(int(value) for value in center), tuple(int(value) for value in axes)
    cv2.ellipse(mask, place, size, 0, 0, 360, 255, -1)
    cv2.ellipse(image, place, size, 0, 0, 360, (200, 140, 60), -1)
    grain = cv2.warpAffine(  # something to hold on to, which goes with the ball
        _grain(height, width), np.array([[1, 0, center[0] - width / 2], [0, 1, center[1] - height / 2]]),
        (width, height), borderMode=cv2.BORDER_REFLECT,
    )  # fmt: skip
    image[mask > 0] = np.clip(image[mask > 0] + grain[mask > 0][:, None], 0, 255).astype(np.uint8)
    for spot in range(5):
        angle = phase + 2 * np.pi * spot / 5
        at = center + 0.55 * axes * (np.cos(angle), np.sin(angle))
        cv2.circle(image, tuple(int(value) for value in at), max(1, height // 25), (40, 20 + 40 * spot, 160), -1)
    return image, mask > 0


@cache
def _grain(height: int, width: int) -> np.ndarray:
    """[H, W] int16: smoothed noise as large as a hundredth of the picture."""
    noise = np.random.default_rng(0).normal(size=(height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), max(1.0, height / 240))
    return (30 * smooth / smooth.std()).astype(np.int16)


def image_message(pixels: np.ndarray, stamp_ns: int) -> Image:
    """An rgb8 or mono8 message, with its bytes as rclpy hands them to a subscription."""
    message = Image(height=pixels.shape[0], width=pixels.shape[1], encoding="rgb8" if pixels.ndim == 3 else "mono8")
    message.step = pixels.shape[1] * (3 if pixels.ndim == 3 else 1)
    message.data = array.array("B", np.ascontiguousarray(pixels).tobytes())
    return set_stamp(message, stamp_ns)


def set_stamp(message: Image, stamp_ns: int) -> Image:
    """The same message with another stamp."""
    message.header.frame_id = FRAME_ID
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    return message


def write_anchor(path: Path, subdivisions: int = 3) -> Path:
    """Write the ball as a mesh."""
    ball = trimesh.creation.icosphere(subdivisions=subdivisions)
    ball.apply_scale([1.0, 0.75, 0.8])
    ball.export(path)
    return path
