"""The contact sheet: what came in and what was found, side by side, for people."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import cv2
import numpy as np

from ..camera.poses import apply_pose
from ..camera.raycast import RasterBuffer, rasterize
from ..errors import InputError
from .shading import shade, shading_normals

TILE = 300
"""Side of a picture on the sheet, pixels."""
TRAIL = 8
"""Frames of a track that its trail shows."""
_MOST_TRACKS = 150
_SUPERSAMPLE = 2
_LABELS = 184
_GAP = 6
_TITLE = 34
_HEADER = 40
_INK = (40, 44, 52)
_SOFT = (120, 126, 136)
_PAPER = (255, 255, 255)
_VOID = (236, 238, 241)
_TINT = (96, 165, 250)
_REFUSED = (150, 150, 150)
_OUTLINE = (255, 120, 20)
_MASK_OUTLINE = (255, 255, 255)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_ROWS = (
    ("input", ()),
    ("mesh over input", ("orange: mesh outline", "white: given mask", "grey: last good pose")),
    ("tracks", ("colour: place on", "the object", "dark dot: hidden")),
    ("mesh alone", ("fixed view,", "25 deg from the front,", "15 deg from above")),
)


@dataclass(frozen=True)
class SheetFrame:
    """One column of the sheet.

    Attributes:
        number: of the frame in the clip, from 0.
        time_s: seconds since the first frame.
        image: [h, w, 3] uint8 RGB, the camera frame, possibly scaled down.
        mask: [h, w] bool, the given mask at the image's size; None = not known.
        image_scale: pixels of ``image`` per full-frame pixel.
        vertices: [V, 3] object frame.
        camera_from_object: [4, 4].
        camera_valid: False if this frame's own pose was refused; an earlier one is then shown in grey.
        camera_known: False if there was no pose yet, so that there is nothing to show.
        intrinsics: [3, 3] K, full-frame pixels.
        trails_px: [h, Q, 2] full-frame pixels of the tracks in this frame (last) and the ones before; NaN = absent.
        visible: [h, Q] bool.
    """

    number: int
    time_s: float
    image: np.ndarray
    mask: np.ndarray | None
    image_scale: float
    vertices: np.ndarray
    camera_from_object: np.ndarray
    camera_valid: bool
    camera_known: bool
    intrinsics: np.ndarray
    trails_px: np.ndarray
    visible: np.ndarray


@dataclass(frozen=True)
class _Crop:
    """A square of a stored image that becomes one tile: integer pixels, may leave the image."""

    left: int
    top: int
    side: int
    image_scale: float

    def tile_from_full(self, tile: int) -> np.ndarray:
        """[3, 3] from full-frame pixels to tile pixels; centres of pixels at whole numbers on both sides."""
        shrink = np.diag([self.image_scale, self.image_scale, 1.0])
        shrink[:2, 2] = (self.image_scale - 1) / 2
        factor = tile / self.side
        cut = np.diag([factor, factor, 1.0])
        cut[:2, 2] = factor * (0.5 - np.array([self.left, self.top])) - 0.5
        return cut @ shrink


def contact_sheet(
    frames: list[SheetFrame],
    faces: np.ndarray,
    vertex_colors: np.ndarray,
    title: str,
    subtitle: str = "",
    tile: int = TILE,
) -> np.ndarray:
    """Draw the sheet: a column per frame; rows input, mesh over input, tracks, and the mesh alone.

    All columns are cut to one size around the object. The mesh alone is seen from a fixed side, so that it shows even
    where no camera pose was found.

    Args:
        frames: columns from left to right, at least one.
        faces: [T, 3].
        vertex_colors: [V, 3] uint8, for the mesh alone.
        title, subtitle: ASCII text above the pictures.
        tile: side of a picture, pixels.
    Returns:
        [height, width, 3] uint8 RGB.
    Raises:
        InputError: no frames.
    """
    if not frames:
        raise InputError("a contact sheet needs at least one frame")
    crops = _crops(frames)
    colours = _track_colours(frames)
    fixed = _fixed_camera(frames)
    top = 2 * _TITLE + _HEADER if subtitle else _TITLE + _HEADER
    width = _LABELS + len(frames) * (tile + _GAP) + _GAP
    sheet = np.full((top + len(_ROWS) * (tile + _GAP) + _GAP, width, 3), _PAPER, np.uint8)
    _text(sheet, title, (_GAP * 2, 26), 0.8, _INK, 2)
    if subtitle:
        _text(sheet, subtitle, (_GAP * 2, 26 + _TITLE), 0.6, _SOFT, 1)
    for row, (label, lines) in enumerate(_ROWS):
        y = top + row * (tile + _GAP)
        _text(sheet, label, (_GAP * 2, y + 26), 0.6, _INK, 2)
        for number, line in enumerate(lines):
            _text(sheet, line, (_GAP * 2, y + 54 + 22 * number), 0.45, _SOFT, 1)
    for column, (frame, crop) in enumerate(zip(frames, crops, strict=True)):
        x = _LABELS + column * (tile + _GAP)
        _text(sheet, f"frame {frame.number}", (x + 2, top - 14), 0.62, _INK, 2)
        _text(sheet, f"{frame.time_s:.2f} s", (x + tile - 72, top - 14), 0.55, _SOFT, 1)
        picture = _cut(frame.image, crop, tile, _VOID)
        tiles = (
            picture,
            _draw_mesh_over(picture, frame, faces, crop, tile),
            _draw_tracks(picture, frame, colours, crop.tile_from_full(tile)),
            _draw_mesh_alone(frame.vertices, faces, vertex_colors, fixed, tile),
        )
        for row, drawn in enumerate(tiles):
            y = top + row * (tile + _GAP)
            sheet[y : y + tile, x : x + tile] = drawn
    return sheet


def _object_box(frame: SheetFrame) -> tuple[float, float, float, float] | None:
    """left, top, right, bottom of the object in the stored image: of its mask, or else of the projected mesh."""
    if frame.mask is not None and frame.mask.any():
        ys, xs = np.flatnonzero(frame.mask.any(axis=1)), np.flatnonzero(frame.mask.any(axis=0))
        return float(xs[0]), float(ys[0]), float(xs[-1] + 1), float(ys[-1] + 1)
    if not frame.camera_valid:
        return None
    points = apply_pose(frame.camera_from_object, frame.vertices)
    points = points[points[:, 2] > 1e-3]
    if not len(points):
        return None
    pixels = (points @ frame.intrinsics.T)[:, :2] / points[:, 2:] * frame.image_scale
    low, high = np.percentile(pixels, 1, axis=0), np.percentile(pixels, 99, axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _crops(frames: list[SheetFrame]) -> list[_Crop]:
    """One square per frame, all of one side; all at one place too unless the object wanders far."""
    boxes = [_object_box(frame) for frame in frames]
    known = np.array([box for box in boxes if box is not None])
    height, width = frames[0].image.shape[:2]
    if not len(known):
        side = max(height, width)
        return [_Crop((width - side) // 2, (height - side) // 2, side, frame.image_scale) for frame in frames]
    single = float((known[:, 2:] - known[:, :2]).max())
    union = np.concatenate([known[:, :2].min(axis=0), known[:, 2:].max(axis=0)])
    together = float((union[2:] - union[:2]).max())
    stays = together <= 1.45 * single
    side = max(8, round(1.2 * (together if stays else single)))
    crops = []
    centre = (union[:2] + union[2:]) / 2
    for frame, box in zip(frames, boxes, strict=True):
        if not stays and box is not None:
            centre = (np.array(box[:2]) + np.array(box[2:])) / 2
        crops.append(_Crop(round(centre[0] - side / 2), round(centre[1] - side / 2), side, frame.image_scale))
    return crops


def _cut(image: np.ndarray, crop: _Crop, tile: int, fill: tuple[int, int, int] | int) -> np.ndarray:
    """The square of ``image`` at tile size; what lies outside the image is ``fill``."""
    height, width = image.shape[:2]
    shape = (crop.side, crop.side, *image.shape[2:])
    square = np.empty(shape, image.dtype)
    square[...] = fill
    x0, y0 = max(0, crop.left), max(0, crop.top)
    x1, y1 = min(width, crop.left + crop.side), min(height, crop.top + crop.side)
    if x1 > x0 and y1 > y0:
        square[y0 - crop.top : y1 - crop.top, x0 - crop.left : x1 - crop.left] = image[y0:y1, x0:x1]
    shrinks = crop.side > tile
    return np.asarray(cv2.resize(square, (tile, tile), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC))


def _render(
    vertices_camera: np.ndarray, faces: np.ndarray, intrinsics: np.ndarray, colours: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Smoothly shaded picture [size, size, 3] float32 and coverage [size, size] in [0, 1], supersampled."""
    fine = size * _SUPERSAMPLE
    scale = np.diag([_SUPERSAMPLE, _SUPERSAMPLE, 1.0])
    scale[:2, 2] = (_SUPERSAMPLE - 1) / 2
    buffer: RasterBuffer = rasterize(vertices_camera, faces, scale @ intrinsics, fine, fine)
    hit = buffer.face >= 0
    corners = faces[buffer.face[hit]]
    weights = buffer.barycentric[hit][..., None]
    normals = (shading_normals(vertices_camera, faces)[corners] * weights).sum(axis=1)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    # A surface seen from behind (open mesh) is lit as if it faced the viewer.
    seen_from_behind = (normals * vertices_camera[corners[:, 0]]).sum(axis=1) > 0
    normals[seen_from_behind] *= -1
    # In [0, 1] before shading: interpolated colours are fractions.
    paint = (colours[corners].astype(np.float32) * weights).sum(axis=1)
    premultiplied = np.zeros((fine, fine, 4), np.float32)
    premultiplied[hit, :3] = shade(normals, paint)
    premultiplied[hit, 3] = 1.0
    small = cv2.resize(premultiplied, (size, size), interpolation=cv2.INTER_AREA)
    return small[..., :3] / np.maximum(small[..., 3:], 1e-6), small[..., 3]


def _draw_mesh_over(picture: np.ndarray, frame: SheetFrame, faces: np.ndarray, crop: _Crop, tile: int) -> np.ndarray:
    """The tile with the posed mesh half transparent over it, its outline, and the given mask's outline."""
    canvas: np.ndarray = picture.copy()
    cover = np.zeros((tile, tile), np.float32)
    if frame.camera_known:
        vertices = apply_pose(frame.camera_from_object, frame.vertices)
        tint = np.array(_TINT if frame.camera_valid else _REFUSED, np.uint8)
        colours = np.broadcast_to(tint, frame.vertices.shape)
        shaded, cover = _render(vertices, faces, crop.tile_from_full(tile) @ frame.intrinsics, colours, tile)
        amount = (0.68 if frame.camera_valid else 0.35) * cover[..., None]
        canvas = np.clip(picture * (1 - amount) + shaded * amount, 0, 255).astype(np.uint8)
    if frame.mask is not None:
        # Cubic upscaling of a soft mask gives a smooth line through the pixel edges.
        soft = _cut(frame.mask.astype(np.float32), crop, tile, 0)
        _outline(canvas, soft > 0.5, _INK, 3)
        _outline(canvas, soft > 0.5, _MASK_OUTLINE, 1)
    _outline(canvas, cover > 0.5, _OUTLINE if frame.camera_valid else _REFUSED, 2)
    if not frame.camera_valid:
        cv2.rectangle(canvas, (0, tile - 30), (tile, tile), _PAPER, -1)
        _text(
            canvas, "camera pose refused" if frame.camera_known else "no camera pose", (8, tile - 9), 0.6, _OUTLINE, 2
        )
    return canvas


def _outline(canvas: np.ndarray, region: np.ndarray, colour: tuple[int, int, int], thickness: int) -> None:
    contours, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(canvas, contours, -1, colour, thickness, cv2.LINE_AA)


def _track_colours(frames: list[SheetFrame]) -> tuple[np.ndarray, np.ndarray]:
    """Tracks that are drawn (their numbers, an even choice) and a colour for each by its place on the object."""
    points = frames[0].trails_px[-1] if len(frames[0].trails_px) else np.zeros((0, 2))
    known = np.flatnonzero(np.isfinite(points).all(axis=1))
    if not len(known):
        return known, np.zeros((0, 3))
    step = max(1, -(-len(known) // _MOST_TRACKS))
    chosen = known[::step]
    place = points[chosen]
    low, high = place.min(axis=0), place.max(axis=0)
    share = (place - low) / np.maximum(high - low, 1e-6)
    colours = [colorsys.hsv_to_rgb(0.85 * float(x), 0.95 - 0.35 * float(y), 1.0) for x, y in share]
    return chosen, np.array(colours) * 255


def _draw_tracks(
    picture: np.ndarray, frame: SheetFrame, coloured: tuple[np.ndarray, np.ndarray], tile_from_full: np.ndarray
) -> np.ndarray:
    """The dimmed tile with a dot per track and a trail of its last positions that fades with age."""
    grey = picture.mean(axis=2, keepdims=True)
    canvas: np.ndarray = np.clip(0.35 * picture + 0.35 * grey + 20, 0, 255).astype(np.uint8)
    chosen, colours = coloured
    paths = frame.trails_px[:, chosen] @ tile_from_full[:2, :2].T + tile_from_full[:2, 2]
    limit = 4 * len(picture)
    fits = np.isfinite(paths).all(axis=2) & (np.abs(np.nan_to_num(paths)) < limit).all(axis=2)
    length = len(paths)
    # Sixteenths of a pixel: OpenCV draws between pixel centres when told how many bits are fraction.
    fixed = np.rint(np.nan_to_num(paths, nan=0.0).clip(-limit, limit) * 16).astype(int)
    for step in range(1, length):
        fade = 0.25 + 0.75 * step / max(length - 1, 1)
        for track in np.flatnonzero(fits[step - 1] & fits[step]):
            shown = tuple(float(value) for value in colours[track] * fade)
            ends = [tuple(int(value) for value in fixed[at, track]) for at in (step - 1, step)]
            cv2.line(canvas, ends[0], ends[1], shown, 2 if step > length // 2 else 1, cv2.LINE_AA, 4)
    for track in np.flatnonzero(fits[-1]):
        centre = tuple(int(value) for value in fixed[-1, track])
        if frame.visible[-1, chosen[track]]:
            cv2.circle(canvas, centre, 4 * 16, _INK, -1, cv2.LINE_AA, 4)
            cv2.circle(canvas, centre, 3 * 16, tuple(float(value) for value in colours[track]), -1, cv2.LINE_AA, 4)
        else:
            cv2.circle(
                canvas, centre, 2 * 16, tuple(float(value) for value in colours[track] * 0.35), -1, cv2.LINE_AA, 4
            )
    return canvas


def _fixed_camera(frames: list[SheetFrame]) -> tuple[np.ndarray, np.ndarray, float]:
    """Rotation and shift of the fixed view, and the focal length (in tile sides) that fits all shown poses."""
    yaw, pitch = np.deg2rad(25.0), np.deg2rad(15.0)
    turn = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    nod = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    # Object y up, viewer on +z; camera y down and z away from the viewer.
    rotation = np.diag([1.0, -1.0, -1.0]) @ nod @ turn
    seen = [frame.vertices @ rotation.T for frame in frames]
    low, high = np.min([part.min(axis=0) for part in seen], axis=0), np.max([part.max(axis=0) for part in seen], axis=0)
    reach, depth = float((high - low)[:2].max()) / 2, float((high - low)[2]) / 2
    distance = 4.0 * max(reach, depth, 1e-6)
    shift = np.array([0, 0, distance]) - (low + high) / 2
    return rotation, shift, 0.46 * (distance - depth) / max(reach, 1e-6)


def _draw_mesh_alone(
    vertices: np.ndarray,
    faces: np.ndarray,
    vertex_colors: np.ndarray,
    fixed: tuple[np.ndarray, np.ndarray, float],
    tile: int,
) -> np.ndarray:
    """The mesh in its own colours from the fixed view on a plain ground."""
    rotation, shift, focal = fixed
    seen = vertices @ rotation.T + shift
    middle = (tile - 1) / 2
    intrinsics = np.array([[focal * tile, 0, middle], [0, focal * tile, middle], [0, 0, 1]])
    shaded, cover = _render(seen, faces, intrinsics, vertex_colors, tile)
    ground = np.array(_VOID, np.float32)
    drawn: np.ndarray = np.clip(ground * (1 - cover[..., None]) + shaded * cover[..., None], 0, 255).astype(np.uint8)
    return drawn


def _text(
    canvas: np.ndarray, text: str, at: tuple[int, int], scale: float, colour: tuple[int, int, int], thickness: int
) -> None:
    cv2.putText(canvas, text, at, _FONT, scale, colour, thickness, cv2.LINE_AA)
