"""Images between ROS messages and numpy arrays: the interface of ``cv_bridge.CvBridge``, without compiled code of ROS.

Where it differs on purpose: NV12 is read, and a message whose ``data`` is too short is refused with the numbers.
"""

from __future__ import annotations

import array
import sys
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

Array = NDArray[Any]


class CvBridgeError(TypeError):
    """An image cannot be converted; a TypeError, as in cv_bridge."""


@dataclass(frozen=True)
class _Layout:
    """How one encoding lies in memory: sample type, samples per pixel, and rows per two image rows (3 for NV12)."""

    dtype: str
    channels: int
    rows_per_two: int = 2


_GENERIC = {
    f"{name}C{channels}": _Layout(dtype, channels)
    for name, dtype in (("8U", "u1"), ("16U", "u2"), ("32F", "f4"))
    for channels in (1, 2, 3, 4)
}
_COLOURS = {
    "mono8": _Layout("u1", 1),
    "mono16": _Layout("u2", 1),
    "rgb8": _Layout("u1", 3),
    "bgr8": _Layout("u1", 3),
    "rgba8": _Layout("u1", 4),
    "bgra8": _Layout("u1", 4),
}
# Encodings that are decoded to BGR first, with OpenCV's code for it. yuv422 is UYVY by its definition in sensor_msgs.
_DECODED = {
    "yuv422": (_Layout("u1", 2), cv2.COLOR_YUV2BGR_UYVY),
    "uyvy": (_Layout("u1", 2), cv2.COLOR_YUV2BGR_UYVY),
    "yuv422_yuy2": (_Layout("u1", 2), cv2.COLOR_YUV2BGR_YUY2),
    "yuyv": (_Layout("u1", 2), cv2.COLOR_YUV2BGR_YUY2),
    "nv12": (_Layout("u1", 1, rows_per_two=3), cv2.COLOR_YUV2BGR_NV12),
    # OpenCV names a Bayer pattern by its second row and column, ROS by its first.
    "bayer_rggb8": (_Layout("u1", 1), cv2.COLOR_BayerBG2BGR),
    "bayer_bggr8": (_Layout("u1", 1), cv2.COLOR_BayerRG2BGR),
    "bayer_gbrg8": (_Layout("u1", 1), cv2.COLOR_BayerGR2BGR),
    "bayer_grbg8": (_Layout("u1", 1), cv2.COLOR_BayerGB2BGR),
}
_LAYOUTS = {**_GENERIC, **_COLOURS, **{name: layout for name, (layout, _) in _DECODED.items()}}
# Encodings that only our own bridge turns into colours: cv_bridge refuses them or hands them out raw.
_OWN_ONLY = ("nv12", "uyvy", "yuyv", "yuv422_yuy2")

_CONVERSIONS = {
    ("mono8", "rgb8"): cv2.COLOR_GRAY2RGB,
    ("mono8", "bgr8"): cv2.COLOR_GRAY2BGR,
    ("mono8", "rgba8"): cv2.COLOR_GRAY2RGBA,
    ("mono8", "bgra8"): cv2.COLOR_GRAY2BGRA,
    ("rgb8", "mono8"): cv2.COLOR_RGB2GRAY,
    ("rgb8", "bgr8"): cv2.COLOR_RGB2BGR,
    ("rgb8", "rgba8"): cv2.COLOR_RGB2RGBA,
    ("rgb8", "bgra8"): cv2.COLOR_RGB2BGRA,
    ("bgr8", "mono8"): cv2.COLOR_BGR2GRAY,
    ("bgr8", "rgb8"): cv2.COLOR_BGR2RGB,
    ("bgr8", "rgba8"): cv2.COLOR_BGR2RGBA,
    ("bgr8", "bgra8"): cv2.COLOR_BGR2BGRA,
    ("rgba8", "mono8"): cv2.COLOR_RGBA2GRAY,
    ("rgba8", "rgb8"): cv2.COLOR_RGBA2RGB,
    ("rgba8", "bgr8"): cv2.COLOR_RGBA2BGR,
    ("rgba8", "bgra8"): cv2.COLOR_RGBA2BGRA,
    ("bgra8", "mono8"): cv2.COLOR_BGRA2GRAY,
    ("bgra8", "rgb8"): cv2.COLOR_BGRA2RGB,
    ("bgra8", "bgr8"): cv2.COLOR_BGRA2BGR,
    ("bgra8", "rgba8"): cv2.COLOR_BGRA2RGBA,
}


def _layout_of(encoding: str) -> _Layout:
    layout = _LAYOUTS.get(encoding)
    if layout is None:
        raise CvBridgeError(f"image encoding {encoding!r} is not supported: use one of {', '.join(sorted(_LAYOUTS))}")
    return layout


def _pixels(message: Image) -> Array:
    """The message's samples as they are: [H, W] or [H, W, C], row padding removed, in this machine's byte order."""
    layout = _layout_of(message.encoding)
    height, width, step = int(message.height), int(message.width), int(message.step)
    if layout.rows_per_two == 3 and (height % 2 or width % 2):
        raise CvBridgeError(f"{message.encoding} image is {width}x{height}: both sizes must be even")
    rows = height * layout.rows_per_two // 2
    dtype = np.dtype(layout.dtype).newbyteorder(">" if message.is_bigendian else "<")
    row_bytes = width * layout.channels * dtype.itemsize
    if step < row_bytes:
        raise CvBridgeError(
            f"{message.encoding} image is {width} pixels wide, {row_bytes} bytes a row, but its step is {step}: "
            "set step to the bytes from one row to the next"
        )
    # The last row may come without its padding.
    needed = max(0, (rows - 1) * step + row_bytes) if rows else 0
    data = np.frombuffer(message.data, dtype=np.uint8) if len(message.data) else np.zeros(0, np.uint8)
    if data.size < needed:
        raise CvBridgeError(
            f"{message.encoding} image of {width}x{height} with step {step} needs {needed} bytes of data, "
            f"got {data.size}: the message was cut or its size is wrong"
        )
    strided = np.lib.stride_tricks.as_strided(data, shape=(rows, row_bytes), strides=(step, 1))
    samples = np.ascontiguousarray(strided).view(dtype).astype(dtype.newbyteorder("="), copy=False)
    return samples.reshape((rows, width) if layout.channels == 1 else (rows, width, layout.channels))


def _convert(image: Array, source: str, wanted: str) -> Array:
    """The same picture in another encoding."""
    if wanted in ("passthrough", source):
        return image
    target = _layout_of(wanted)
    if wanted in _DECODED:
        raise CvBridgeError(f"cannot convert an image to {wanted}: it is read, never written")
    if source in _DECODED:
        return _convert(cv2.cvtColor(image, _DECODED[source][1]), "bgr8", wanted)
    layout = _layout_of(source)
    code = _CONVERSIONS.get((source, wanted))
    if code is not None:
        return np.asarray(cv2.cvtColor(image, code))
    same_samples = (layout.dtype, layout.channels) == (target.dtype, target.channels)
    if same_samples and (source in _GENERIC or wanted in _GENERIC):
        return image
    if (source, wanted) in (("16UC1", "32FC1"), ("mono16", "32FC1")):
        return image.astype(np.float32)
    if source == "mono16" and wanted in _COLOURS:
        # The whole range onto the whole range, rounded, as in cv_bridge: 65535 becomes 255.
        return _convert(np.rint(image / 257.0).astype(np.uint8), "mono8", wanted)
    if wanted == "mono16" and source in _COLOURS:
        return _convert(image, source, "mono8").astype(np.uint16) * 257
    raise CvBridgeError(f"cannot convert an image from {source} to {wanted}: it has no such channels or range")


class CvBridge:
    """Converts image messages to numpy arrays and back."""

    def imgmsg_to_cv2(self, img_msg: Image, desired_encoding: str = "passthrough") -> Array:
        """Decode an image message.

        Args:
            img_msg: raw image; ``step`` and ``is_bigendian`` are honoured.
            desired_encoding: encoding of the result; ``passthrough``: the samples as they are (NV12: [H * 3 / 2, W],
                YUV 4:2:2: [H, W, 2], Bayer: [H, W]).
        Returns:
            [H, W] or [H, W, C], uint8, uint16 or float32, contiguous, in this machine's byte order; it may share the
            message's memory.
        Raises:
            CvBridgeError: unknown encoding, data too short for the size, or no such conversion.
        """
        return _convert(_pixels(img_msg), img_msg.encoding, desired_encoding)

    def cv2_to_imgmsg(self, cvim: Array, encoding: str = "passthrough", header: Header | None = None) -> Image:
        """Make an image message.

        Args:
            cvim: [H, W] or [H, W, C], uint8, uint16 or float32.
            encoding: what the samples are (nothing is converted); ``passthrough``: a generic one such as ``8UC3``.
            header: taken over when given.
        Raises:
            CvBridgeError: the array does not fit the encoding.
        """
        if not isinstance(cvim, np.ndarray) or cvim.ndim not in (2, 3):
            raise CvBridgeError(f"an image must be an array [H, W] or [H, W, C], got {np.shape(cvim)}")
        channels = 1 if cvim.ndim == 2 else cvim.shape[2]
        name = {"u1": "8U", "u2": "16U", "f4": "32F"}.get(cvim.dtype.str[1:])
        generic = f"{name}C{channels}"
        if encoding == "passthrough":
            encoding = generic
        layout = _layout_of(encoding)
        if generic not in _GENERIC or (_GENERIC[generic].dtype, channels) != (layout.dtype, layout.channels):
            raise CvBridgeError(
                f"array has {channels} channels of {cvim.dtype}, {encoding} has {layout.channels} of "
                f"{np.dtype(layout.dtype)}: convert it first or name its own encoding"
            )
        rows = cvim.shape[0]
        if layout.rows_per_two == 3 and rows % 3:
            raise CvBridgeError(f"{encoding} array has {rows} rows, not a multiple of 3: [H * 3 / 2, W] is wanted")
        message = Image()
        if header is not None:
            message.header = header
        message.height = rows * 2 // layout.rows_per_two
        message.width = cvim.shape[1]
        message.encoding = encoding
        message.is_bigendian = int(sys.byteorder == "big")
        message.step = cvim.shape[1] * channels * cvim.dtype.itemsize
        message.data = _bytes_field(np.ascontiguousarray(cvim, dtype=cvim.dtype.newbyteorder("=")).tobytes())
        return message

    def compressed_imgmsg_to_cv2(self, cmprs_img_msg: CompressedImage, desired_encoding: str = "passthrough") -> Array:
        """Decode a compressed image message (JPEG, PNG and what else OpenCV reads).

        Args:
            cmprs_img_msg: compressed image; its ``format`` is not needed, the data tell.
            desired_encoding: encoding of the result; ``passthrough``: BGR, BGRA or grey, 8 or 16 bits, as stored.
        Raises:
            CvBridgeError: not a picture, or no such conversion.
        """
        if "compressedDepth" in cmprs_img_msg.format:
            raise CvBridgeError(
                f"compressed format {cmprs_img_msg.format!r} has a header of its own and is not supported: "
                "subscribe to the raw depth image"
            )
        data = np.frombuffer(cmprs_img_msg.data, dtype=np.uint8) if len(cmprs_img_msg.data) else np.zeros(0, np.uint8)
        image = None
        if data.size:
            image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
        if image is None:
            raise CvBridgeError(
                f"{data.size} bytes of format {cmprs_img_msg.format!r} are no picture that OpenCV can decode"
            )
        if desired_encoding == "passthrough":
            return np.asarray(image)
        channels = 1 if image.ndim == 2 else image.shape[2]
        sources = {("u1", 1): "mono8", ("u2", 1): "mono16", ("u1", 3): "bgr8", ("u1", 4): "bgra8"}
        source = sources.get((image.dtype.str[1:], channels))
        if source is None:
            raise CvBridgeError(
                f"compressed image has {channels} channels of {image.dtype}: only passthrough can hand it out"
            )
        return _convert(np.asarray(image), source, desired_encoding)

    def cv2_to_compressed_imgmsg(self, cvim: Array, dst_format: str = "jpg") -> CompressedImage:
        """Compress an image.

        Args:
            cvim: [H, W] grey, [H, W, 3] BGR or [H, W, 4] BGRA, uint8 (PNG: also uint16).
            dst_format: ending that OpenCV knows: ``jpg``, ``png`` ...
        Raises:
            CvBridgeError: OpenCV cannot write that.
        """
        message = CompressedImage()
        message.format = dst_format
        try:
            done, data = cv2.imencode(f".{dst_format}", cvim)
        except cv2.error as error:
            raise CvBridgeError(f"cannot compress {np.shape(cvim)} {cvim.dtype} as {dst_format}: {error}") from error
        if not done:
            raise CvBridgeError(f"cannot compress {np.shape(cvim)} {cvim.dtype} as {dst_format}")
        message.data = _bytes_field(data.tobytes())
        return message


def _bytes_field(data: bytes) -> array.array[int]:
    """What a ``uint8[]`` field takes without looking at every element."""
    values = array.array("B")
    values.frombytes(data)
    return values


def extend_bridge(base: type, error: type[Exception]) -> type:
    """The distribution's bridge, with our decoding of the encodings that it does not turn into colours.

    Args:
        base: its ``CvBridge``.
        error: its ``CvBridgeError``, raised for those encodings too.
    """

    class ExtendedCvBridge(base):  # type: ignore[misc, valid-type]
        """The distribution's ``cv_bridge.CvBridge``, extended."""

        def imgmsg_to_cv2(self, img_msg: Image, desired_encoding: str = "passthrough") -> Array:
            if img_msg.encoding not in _OWN_ONLY:
                return np.asarray(super().imgmsg_to_cv2(img_msg, desired_encoding))
            try:
                return CvBridge().imgmsg_to_cv2(img_msg, desired_encoding)
            except CvBridgeError as refused:
                raise error(str(refused)) from refused

    return ExtendedCvBridge
