"""What real cameras and segmenters do to pictures and masks: blur, noise, light that changes, an occluder, dirty masks.

The truth stays that of the clean clip: only what the method is shown changes. The same seed gives the same dirt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from ...errors import ConfigError
from .clip import Clip

SHUTTER_STEPS = 9
"""Pictures that one blurred picture is the mean of."""


@dataclass(frozen=True)
class Dirt:
    """How dirty a clip is; 0 leaves a thing alone.

    Attributes:
        blur: time that the shutter is open as a share of the time between frames.
        noise: standard deviation of the noise of a grey pixel (128), grey values; brighter pixels have more.
        light: how far brightness (and, a third as far, the balance of red and blue) goes up and down, as a share.
        occluder: width of a bar that passes before the object, as a share of the object's.
        specks: false pieces of mask in every frame.
        ragged: how far the mask's edge is off to either side, pixels of a 256-pixel picture.
        holes: holes in the mask in every frame.
        lag: frames by which the masks are late.
    Raises:
        ConfigError: a value is negative, or blur, light or occluder above 1.
    """

    blur: float = 0.0
    noise: float = 0.0
    light: float = 0.0
    occluder: float = 0.0
    specks: int = 0
    ragged: float = 0.0
    holes: int = 0
    lag: int = 0

    def __post_init__(self) -> None:
        for name, most in (("blur", 1.0), ("noise", 128.0), ("light", 1.0), ("occluder", 1.0), ("specks", 100),
                           ("ragged", 32.0), ("holes", 100), ("lag", 100)):  # fmt: skip
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise ConfigError(f"{name} is {value}, must be in [0, {most}]: choose a value in between")


DIRTS: dict[str, Dirt] = {
    "clean": Dirt(),
    "motion blur": Dirt(blur=0.8),
    "noise": Dirt(noise=12.0),
    "light": Dirt(light=0.4),
    "occluder": Dirt(occluder=0.25),
    "dirty masks": Dirt(specks=3, ragged=3.0, holes=2),
    "late masks": Dirt(lag=1),
    "all at once": Dirt(blur=0.5, noise=8.0, light=0.25, occluder=0.2, specks=2, ragged=2.0, holes=1),
}
"""The kinds that are measured, by name."""


class Soiled(NamedTuple):
    """What the method is shown of a clip.

    Attributes:
        images: [F, S, S, 3] uint8.
        masks: [F, S, S] bool; what the occluder hides is not in them.
        hidden: [F, S, S] bool, pixels of the object that the occluder hides.
    """

    images: np.ndarray
    masks: np.ndarray
    hidden: np.ndarray


def soil(clip: Clip, dirt: Dirt, seed: int = 0) -> Soiled:
    """A clip's pictures and masks as a camera and a segmenter in the field would give them.

    Args:
        clip: clean.   dirt: what is done to it.   seed: of everything that is drawn.
    """
    rng = np.random.default_rng([seed, clip.seed])
    images, masks = clip.images.copy(), clip.masks.copy()
    if dirt.blur:
        images = blur_motion(images, pixel_motion(clip), dirt.blur)
    if dirt.occluder:
        images, masks = pass_before(images, masks, dirt.occluder, rng)
    hidden = clip.masks & ~masks
    if dirt.light:
        images = change_light(images, dirt.light, rng)
    if dirt.noise:
        images = add_noise(images, dirt.noise, rng)
    if dirt.lag:
        masks = np.concatenate([np.repeat(masks[:1], dirt.lag, axis=0), masks[: -dirt.lag]])
    return Soiled(images, np.stack([dirty_mask(mask, dirt, rng) for mask in masks]), hidden)


def pixel_motion(clip: Clip) -> np.ndarray:
    """[F, S, S, 2] float32 pixels by which what each pixel shows moves until the next frame (the last: since the one
    before); beside the object, as its nearest pixel does; zero in a clip of one frame."""
    frames, size = clip.masks.shape[:2]
    moved = np.zeros((frames, size, size, 2), np.float32)
    pose, camera = clip.pose, clip.camera_from_object
    for frame in range(frames if frames > 1 else 0):
        other, sign = (frame + 1, 1.0) if frame + 1 < frames else (frame - 1, -1.0)
        rows, columns = np.nonzero(clip.masks[frame])
        if not len(rows):
            continue
        part, points = clip.parts[frame, rows, columns], clip.xyz[frame, rows, columns].astype(np.float64)
        neutral = np.einsum("nji,nj->ni", pose.rotations[frame, part], points - pose.shifts[frame, part])
        later = np.einsum("nij,nj->ni", pose.rotations[other, part], neutral) + pose.shifts[other, part]
        seen = (later @ camera[other, :3, :3].T + camera[other, :3, 3]) @ clip.intrinsics.T
        own = np.zeros((size, size, 2), np.float32)
        own[rows, columns] = sign * (seen[:, :2] / seen[:, 2:] - np.stack([columns, rows], axis=1))
        outside = (~clip.masks[frame]).astype(np.uint8)
        _, label = cv2.distanceTransformWithLabels(outside, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
        place = np.zeros((int(label.max()) + 1, 2), np.int64)
        place[label[rows, columns]] = np.stack([rows, columns], axis=1)
        nearest = place[label]
        moved[frame] = own[nearest[..., 0], nearest[..., 1]]
    return moved


def blur_motion(images: np.ndarray, motion: np.ndarray, shutter: float) -> np.ndarray:
    """[F, S, S, 3] uint8 pictures whose shutter was open for a share of the time between frames.

    Args:
        images: [F, S, S, 3] uint8, from the middle of that time.   motion: [F, S, S, 2] pixels a frame.
    """
    size = images.shape[1]
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32)
    blurred = np.empty_like(images)
    for frame, (image, step) in enumerate(zip(images, motion, strict=True)):
        total = np.zeros(image.shape, np.float64)
        for share in np.linspace(-0.5, 0.5, SHUTTER_STEPS, dtype=np.float32) * np.float32(shutter):
            total += cv2.remap(
                image, columns - share * step[..., 0], rows - share * step[..., 1], cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )  # fmt: skip
        blurred[frame] = np.rint(total / SHUTTER_STEPS)
    return blurred


def add_noise(images: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Pictures with independent noise; its variance grows with brightness, half of it at black."""
    grey = images.astype(np.float32)
    spread = sigma * np.sqrt(0.5 + 0.5 * grey / 128.0)
    noisy = grey + spread * rng.standard_normal(images.shape, dtype=np.float32)
    found: np.ndarray = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    return found


def change_light(images: np.ndarray, depth: float, rng: np.random.Generator) -> np.ndarray:
    """Pictures whose light gets brighter and darker in slow waves, warmer and colder, with a little flicker."""
    frame = np.arange(len(images))
    wave = np.sin(2 * np.pi * (frame / rng.uniform(20, 40) + rng.uniform()))
    warm = np.sin(2 * np.pi * (frame / rng.uniform(20, 40) + rng.uniform()))
    gain = 1.0 - depth * (0.5 - 0.5 * wave) + 0.05 * depth * rng.standard_normal(len(images))
    channels = gain[:, None] * np.stack([1 + depth / 3 * warm, np.ones(len(images)), 1 - depth / 3 * warm], axis=1)
    lit: np.ndarray = np.clip(np.rint(images * channels[:, None, None]), 0, 255).astype(np.uint8)
    return lit


def pass_before(
    images: np.ndarray, masks: np.ndarray, share: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Pictures before whose object a striped bar passes from one side to the other, and masks without what it hides.

    In the first frame the bar is beside the object, which must be wholly visible there; then it goes to and fro, once
    across in 24 frames.
    """
    size = images.shape[1]
    columns = np.flatnonzero(masks.any(axis=(0, 1)))
    if not len(columns):
        return images, masks
    left, width = float(columns[0]), float(columns[-1] - columns[0] + 1)
    bar = max(2.0, share * width)
    place = (np.arange(len(images)) / 24.0) % 2.0
    place = np.where(place > 1.0, 2.0 - place, place)
    middle = left - 0.5 * bar - 1.0 + place * (width + bar + 2.0)
    slope = rng.uniform(-0.25, 0.25)
    row, column = np.mgrid[0:size, 0:size]
    colours = rng.integers(30, 220, (2, 3))
    stripes = colours[((row + column) // max(3, size // 24)) % 2].astype(np.uint8)
    shown, seen = images.copy(), masks.copy()
    for frame in range(len(images)):
        hidden = np.abs(column - middle[frame] - slope * (row - 0.5 * size) * (frame > 0)) < 0.5 * bar
        if frame == 0:
            hidden &= ~masks[0]
        shown[frame][hidden] = stripes[hidden]
        seen[frame] &= ~hidden
        if not seen[frame].any():
            seen[frame] = masks[frame]
    return shown, seen


def dirty_mask(mask: np.ndarray, dirt: Dirt, rng: np.random.Generator) -> np.ndarray:
    """A mask [S, S] with a ragged edge, holes and specks."""
    if not mask.any() or not (dirt.ragged or dirt.holes or dirt.specks):
        return mask
    size = len(mask)
    scale = size / 256
    found = mask.copy()
    if dirt.ragged:
        inside = mask.astype(np.uint8)
        away = cv2.distanceTransform(1 - inside, cv2.DIST_L2, 3) - cv2.distanceTransform(inside, cv2.DIST_L2, 3)
        wobble = cv2.GaussianBlur(rng.standard_normal((size, size)).astype(np.float32), (0, 0), 4 * scale)
        found = away < dirt.ragged * scale * wobble / wobble.std()
    rows, columns = np.nonzero(mask)
    for count, value, low, high in ((dirt.holes, False, 2.0, 6.0), (dirt.specks, True, 1.0, 4.0)):
        for _ in range(count):
            one = rng.integers(len(rows))
            centre = (columns[one], rows[one]) if not value else rng.integers(0, size, 2)
            disc = np.zeros((size, size), np.uint8)
            cv2.circle(disc, (int(centre[0]), int(centre[1])), max(1, round(rng.uniform(low, high) * scale)), 1, -1)
            found[disc.astype(bool)] = value
    return found if found.any() else mask
