"""Image messages to arrays without ROS or cv_bridge, be they rclpy's or read from a bag."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ..errors import FileFormatError, ShapeError

_PACKED = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "8uc3": 3, "8uc4": 4}
_GREY = {"mono8": np.uint8, "8uc1": np.uint8}
_RAW: dict[str, type[np.generic]] = {"16uc1": np.uint16, "mono16": np.uint16, "32fc1": np.float32}
_YUV422 = {
    "yuv422": cv2.COLOR_YUV2RGB_UYVY,
    "uyvy": cv2.COLOR_YUV2RGB_UYVY,
    "yuv422_yuy2": cv2.COLOR_YUV2RGB_YUYV,
    "yuyv": cv2.COLOR_YUV2RGB_YUYV,
}
_BAYER = {
    "bayer_rggb8": cv2.COLOR_BayerRGGB2RGB,
    "bayer_bggr8": cv2.COLOR_BayerBGGR2RGB,
    "bayer_gbrg8": cv2.COLOR_BayerGBRG2RGB,
    "bayer_grbg8": cv2.COLOR_BayerGRBG2RGB,
}
IMAGE_ENCODINGS = ("rgb8", "bgr8", "rgba8", "bgra8", "mono8", *_YUV422, "nv12", *_BAYER)
"""Encodings that give a colour image."""
MASK_ENCODINGS = ("mono8", "8UC1", "16UC1", "mono16")
"""Encodings that give a mask or instance ids."""
JPEG_MASKS = "masks come as JPEG, which blurs their edges: they are cut at half of the largest value; PNG is better"
DEPTH_ENCODINGS = ("16UC1", "32FC1")
"""Encodings that give a depth image."""


@dataclass(frozen=True)
class ImageFields:
    """The fields of a ``sensor_msgs/Image`` that matter.

    Attributes:
        encoding: see IMAGE_ENCODINGS, MASK_ENCODINGS, DEPTH_ENCODINGS; the case is ignored.
        height, width: pixels.
        step: bytes from one row to the next; padding at the row's end is skipped.
        is_bigendian: byte order of 16 and 32 bit values.
        data: the bytes, at least ``step`` times the number of rows.
    """

    encoding: str
    height: int
    width: int
    step: int
    is_bigendian: bool
    data: bytes | bytearray | memoryview | np.ndarray


@dataclass(frozen=True)
class DecodedImage:
    """One decoded image message.

    Attributes:
        rgb: [H, W, 3] uint8, None where the encoding holds no picture (16UC1, 32FC1).
        mask: [H, W] bool from the alpha channel (opaque = object), None without one, or where all is opaque: that says
            nothing.
        raw: the values as sent, rows without padding, native byte order: [H, W] or [H, W, C];
            for nv12 [H * 3 / 2, W].
    """

    rgb: np.ndarray | None
    mask: np.ndarray | None
    raw: np.ndarray


def decode_message(message: Any, colours: bool = True) -> DecodedImage:
    """The picture in a ``sensor_msgs`` Image or CompressedImage, be it rclpy's or read from a bag.

    Args:
        message: anything with the fields of either.
        colours: make a colour image out of grey values; masks and depth need none.
    Raises:
        FileFormatError, ShapeError: encoding, sizes or bytes cannot be used.
    """
    if hasattr(message, "format"):
        return decode_compressed(message.format, memoryview(message.data))
    fields = ImageFields(
        message.encoding,
        int(message.height),
        int(message.width),
        int(message.step),
        bool(message.is_bigendian),
        memoryview(message.data),
    )
    return decode_image(fields, colours)


def decode_mask(message: Any, instance: int = 0) -> np.ndarray:
    """The values in a message that holds a mask: [H, W] of whole numbers.

    A JPEG blurs the edges: it is cut at half of the largest value, 0 and 255, and holds no ids.

    Args:
        message: anything with the fields of an Image or a CompressedImage.
        instance: id of the object that is wanted, below 0 = ids of several are, 0 = there is one.
    Raises:
        FileFormatError, ShapeError: it cannot be used as a mask.
    """
    raw = decode_message(message, colours=False).raw
    if not (hasattr(message, "format") and is_jpeg(message.data)):
        return raw
    if instance:
        which = str(instance) if instance > 0 else "one"
        raise FileFormatError(f"a JPEG blurs ids, so that {which} cannot be told from others: publish masks as PNG")
    grey = raw if raw.ndim == 2 else raw[..., :3].max(axis=2)
    return threshold_mask(grey)


def threshold_mask(values: np.ndarray) -> np.ndarray:
    """A mask with soft edges cut at half of its largest value: [H, W] uint8, 0 and 255.

    >>> threshold_mask(np.array([[0, 3, 130, 250]], np.uint8)).tolist()
    [[0, 0, 255, 255]]
    """
    top = int(values.max())
    return np.asarray(np.where((values >= top / 2) & (top > 32), 255, 0), np.uint8)


def decode_depth(message: Any) -> np.ndarray:
    """The depth image in a message, as ``depth_metres`` gives it.

    Raises:
        FileFormatError, ShapeError: it cannot be used as depth.
    """
    return depth_metres(decode_message(message, colours=False).raw)


def decode_image(fields: ImageFields, colours: bool = True) -> DecodedImage:
    """Decode an Image; no message class is needed.

    Args:
        fields: of the message.
        colours: make a colour image out of grey values; masks need none.
    Returns:
        arrays that may look into ``data`` instead of copying it (6 MB for rgb8 of 1920 x 1080): leave it as it is.
    Raises:
        FileFormatError: the encoding is not one of those above (named in the message).
        ShapeError: ``step`` or the amount of data does not fit the size, or the size does not fit the encoding.
    """
    encoding, height, width = fields.encoding, fields.height, fields.width
    kind = encoding.strip().lower()
    if height < 1 or width < 1:
        raise ShapeError(f"image of encoding {encoding} is {width}x{height}: it has no pixels")
    if kind in _PACKED:
        channels = _PACKED[kind]
        raw = _rows(fields, width * channels).reshape(height, width, channels)
        picture = raw[..., :3] if kind.startswith("rgb") else raw[..., 2::-1]
        mask = _alpha_mask(raw[..., 3]) if channels == 4 else None
        return DecodedImage(np.ascontiguousarray(picture), mask, raw)
    if kind in _GREY:
        raw = _rows(fields, width)
        return DecodedImage(np.repeat(raw[..., None], 3, axis=2) if colours else None, None, raw)
    if kind in _RAW:
        return DecodedImage(None, None, _rows(fields, width, dtype=_RAW[kind]))
    if kind in _YUV422:
        _check_even(encoding, width=width)
        raw = _rows(fields, width * 2).reshape(height, width, 2)
        return DecodedImage(cv2.cvtColor(raw, _YUV422[kind]), None, raw)
    if kind == "nv12":
        _check_even(encoding, width=width, height=height)
        raw = _rows(fields, width, rows=height * 3 // 2)
        return DecodedImage(cv2.cvtColor(raw, cv2.COLOR_YUV2RGB_NV12), None, raw)
    if kind in _BAYER:
        raw = _rows(fields, width)
        return DecodedImage(cv2.cvtColor(raw, _BAYER[kind]), None, raw)
    known = ", ".join(dict.fromkeys((*IMAGE_ENCODINGS, *MASK_ENCODINGS, *DEPTH_ENCODINGS)))
    raise FileFormatError(f"image encoding {encoding!r} is not supported: publish one of {known}")


def decode_compressed(format_text: str, data: bytes | bytearray | memoryview | np.ndarray) -> DecodedImage:
    """Decode the fields of a ``sensor_msgs/CompressedImage`` (JPEG, PNG, WebP; whatever OpenCV decodes).

    Args:
        format_text: as in the message; only looked at to refuse ``compressedDepth``.
        data: the compressed bytes.
    Returns:
        a colour image (alpha becomes the mask), or only ``raw`` for 16 bit one-channel PNG (masks, depth in mm).
    Raises:
        FileFormatError: nothing OpenCV can decode.
    """
    if "compresseddepth" in format_text.lower():
        raise FileFormatError(f"compressed format {format_text!r} is not supported: publish raw 16UC1 or 32FC1 depth")
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if len(data) else None
    except (cv2.error, MemoryError):  # a header that promises more pixels than OpenCV would ever read
        picture = None
    if picture is None:
        raise FileFormatError(f"{len(data)} bytes of compressed format {format_text!r} could not be decoded")
    return from_opencv(picture)


def is_jpeg(data: bytes | bytearray | memoryview | np.ndarray) -> bool:
    """Whether compressed bytes are a JPEG, whatever the message calls them."""
    return bytes(data[:3]) == b"\xff\xd8\xff"


def from_opencv(picture: np.ndarray) -> DecodedImage:
    """What ``cv2.imread``/``imdecode`` gave (grey, BGR or BGRA, 8 or 16 bit) as a decoded image."""
    if picture.ndim == 3 and picture.shape[2] == 1:
        picture = picture[..., 0]
    if picture.ndim == 2 and picture.dtype != np.uint8:
        return DecodedImage(None, None, picture)
    if picture.dtype == np.uint16:
        picture = (picture >> 8).astype(np.uint8)
    if picture.dtype != np.uint8:
        raise FileFormatError(f"a picture of {picture.dtype} values is not supported: save it with 8 or 16 bits")
    if picture.ndim == 2:
        return DecodedImage(np.repeat(picture[..., None], 3, axis=2), None, picture)
    mask = _alpha_mask(picture[..., 3]) if picture.shape[2] == 4 else None
    return DecodedImage(np.ascontiguousarray(picture[..., 2::-1]), mask, picture)


def depth_metres(raw: np.ndarray) -> np.ndarray:
    """A depth image in metres: 16UC1 counts millimetres, 32FC1 metres (REP 118); unknown becomes 0.

    Returns:
        [H, W] float32, 0 where the sensor gave nothing, NaN or infinity.
    Raises:
        ShapeError: neither of the two types.
    """
    if raw.ndim != 2 or raw.dtype not in (np.uint16, np.float32):
        raise ShapeError(
            f"depth has shape {list(raw.shape)} and {raw.dtype} values, wanted one channel of 16UC1 or 32FC1"
        )
    if raw.dtype == np.uint16:
        return np.asarray(raw.astype(np.float32) * np.float32(0.001))
    return np.where(np.isfinite(raw) & (raw > 0), raw, np.float32(0))


def _alpha_mask(alpha: np.ndarray) -> np.ndarray | None:
    mask: np.ndarray = alpha >= 128
    return None if mask.all() else mask


def _rows(
    fields: ImageFields, columns: int, *, rows: int | None = None, dtype: type[np.generic] = np.uint8
) -> np.ndarray:
    """[rows, columns] values in native byte order out of rows of ``step`` bytes; copied only where they must be."""
    encoding, step = fields.encoding, fields.step
    rows = fields.height if rows is None else rows
    wire = np.dtype(dtype).newbyteorder(">" if fields.is_bigendian else "<")
    least = columns * wire.itemsize
    if step < least:
        raise ShapeError(f"step of the {encoding} image is {step} bytes, {least} are needed for a row")
    flat = np.frombuffer(fields.data, np.uint8)
    # The padding after the very last row may be missing.
    if len(flat) < step * (rows - 1) + least:
        raise ShapeError(f"the {encoding} image has {len(flat)} bytes, {step} x {rows} rows are needed")
    if len(flat) < step * rows:
        # Never filled up to a whole row: ``step`` may be any number.
        before = flat[: step * (rows - 1)].reshape(rows - 1, step if rows > 1 else least)
        values = np.concatenate([before[:, :least], flat[step * (rows - 1) :][None, :least]])
    else:
        # Rows without padding are contiguous already; astype only turns the bytes of a foreign order.
        values = np.ascontiguousarray(flat[: step * rows].reshape(rows, step)[:, :least])
    if values.ctypes.data % wire.itemsize:
        values = values.copy()
    return values.view(wire).astype(dtype, copy=False)


def _check_even(encoding: str, **sizes: int) -> None:
    for name, size in sizes.items():
        if size % 2:
            raise ShapeError(f"{name} of the {encoding} image is {size}, the encoding needs an even number")
