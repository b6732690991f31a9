"""Point clouds between messages and numpy arrays: the interface of ``sensor_msgs_py.point_cloud2``."""

from __future__ import annotations

import array
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.lib.recfunctions import structured_to_unstructured, unstructured_to_structured
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from ...errors import InputError, ShapeError

Array = NDArray[Any]
PointType = np.dtype[Any]

_TYPES = {
    PointField.INT8: "i1",
    PointField.UINT8: "u1",
    PointField.INT16: "i2",
    PointField.UINT16: "u2",
    PointField.INT32: "i4",
    PointField.UINT32: "u4",
    PointField.FLOAT32: "f4",
    PointField.FLOAT64: "f8",
}


def dtype_from_fields(
    fields: Iterable[PointField], point_step: int | None = None, big_endian: bool = False
) -> PointType:
    """The structured type of one point.

    Args:
        fields: the cloud's fields; a field of n > 1 values becomes ``name_0`` .. ``name_(n-1)``.
        point_step: bytes from one point to the next; None: no padding at the end.
        big_endian: byte order of the values.
    Raises:
        InputError: a field has an unknown type.
    """
    names: list[str] = []
    formats: list[str] = []
    offsets: list[int] = []
    for number, field in enumerate(fields):
        kind = _TYPES.get(field.datatype)
        if kind is None:
            raise InputError(f"point field {field.name!r} has datatype {field.datatype}: 1 (INT8) to 8 (FLOAT64) exist")
        name = field.name or f"unnamed_field_{number}"
        for value in range(field.count):
            names.append(f"{name}_{value}" if field.count > 1 else name)
            formats.append((">" if big_endian else "<") + kind)
            offsets.append(field.offset + value * np.dtype(kind).itemsize)
    layout: dict[str, Any] = {"names": names, "formats": formats, "offsets": offsets}
    if point_step is not None:
        layout["itemsize"] = point_step
    return np.dtype(layout)


def read_points(
    cloud: PointCloud2,
    field_names: Sequence[str] | None = None,
    skip_nans: bool = False,
    uvs: Iterable[Sequence[int]] | None = None,
    reshape_organized_cloud: bool = False,
) -> Array:
    """The points of a cloud.

    Args:
        cloud: the message.
        field_names: fields wanted; None: all.
        skip_nans: leave out points with a NaN in one of the fields wanted.
        uvs: (column, row) of the points wanted; None: all.
        reshape_organized_cloud: [height, width] instead of a flat list (only with neither ``skip_nans`` nor ``uvs``).
    Returns:
        structured array [n], or [height, width].
    Raises:
        InputError: no such field, or ``reshape_organized_cloud`` together with a choice of points.
        ShapeError: the data are too short for the size.
    """
    dtype = dtype_from_fields(cloud.fields, cloud.point_step, bool(cloud.is_bigendian))
    needed = cloud.height * cloud.row_step
    if len(cloud.data) < needed or cloud.row_step < cloud.width * cloud.point_step:
        raise ShapeError(
            f"cloud of {cloud.width}x{cloud.height} points, point_step {cloud.point_step}, row_step {cloud.row_step} "
            f"has {len(cloud.data)} bytes of data, wanted {needed}: the message was cut or its steps are wrong"
        )
    points = np.ndarray(
        shape=(cloud.height, cloud.width),
        dtype=dtype,
        buffer=cloud.data if needed else np.zeros(1, np.uint8),
        strides=(cloud.row_step, cloud.point_step),
    )
    if field_names is not None:
        unknown = [name for name in field_names if name not in (dtype.names or ())]
        if unknown:
            raise InputError(f"cloud has no field {unknown[0]!r}, only {', '.join(dtype.names or ())}")
        points = points[list(field_names)]
    if reshape_organized_cloud:
        if skip_nans or uvs is not None:
            raise InputError("reshape_organized_cloud cannot go with skip_nans or uvs: the grid would have holes")
        return points
    if uvs is None:
        chosen = points.reshape(-1)
    else:
        pairs = np.asarray(list(uvs), dtype=np.int64).reshape(-1, 2)
        chosen = points[pairs[:, 1], pairs[:, 0]]
    if skip_nans:
        keep = np.ones(chosen.shape, dtype=bool)
        for name in chosen.dtype.names or ():
            if chosen.dtype[name].kind == "f":
                keep &= ~np.isnan(chosen[name])
        chosen = chosen[keep]
    return chosen


def read_points_numpy(
    cloud: PointCloud2,
    field_names: Sequence[str] | None = None,
    skip_nans: bool = False,
    uvs: Iterable[Sequence[int]] | None = None,
    reshape_organized_cloud: bool = False,
) -> Array:
    """The same as ``read_points`` for fields of one type, as a plain array [n, fields].

    Raises:
        InputError: the fields wanted are not all of one type.
    """
    points = read_points(cloud, field_names, skip_nans, uvs, reshape_organized_cloud)
    kinds = {points.dtype[name] for name in points.dtype.names or ()}
    if len(kinds) != 1:
        raise InputError(
            f"fields {', '.join(points.dtype.names or ())} are of {len(kinds)} types, one is wanted: "
            "name the fields of one type, or use read_points"
        )
    return structured_to_unstructured(points)


def create_cloud(
    header: Header,
    fields: Sequence[PointField],
    points: Array | Iterable[Sequence[float]],
    step: int | None = None,
    point_step: int | None = None,
) -> PointCloud2:
    """Make a cloud.

    Args:
        header: stamp and frame.
        fields: what a point has, with offsets.
        points: structured [n] or [height, width] with the fields' names; or plain [n, fields] (or a list of tuples),
            columns in the fields' order.
        step, point_step: bytes from one point to the next, either name; None: no padding.
    Raises:
        ShapeError: the number of columns, or a name, does not fit the fields.
    """
    size = point_step if point_step is not None else step
    dtype = dtype_from_fields(fields, size, big_endian=sys.byteorder == "big")
    names = dtype.names or ()
    if isinstance(points, np.ndarray):
        given = points
    else:
        rows = [tuple(point) for point in points]
        given = np.array(rows, dtype=np.dtype([(name, dtype[name]) for name in names]))
    if given.dtype.names is None:
        if given.ndim < 2 or given.shape[-1] != len(names):
            raise ShapeError(f"points has shape {list(given.shape)}, wanted [n, {len(names)}]: one column per field")
        given = unstructured_to_structured(given, np.dtype([(name, dtype[name]) for name in names]))
    if set(given.dtype.names or ()) != set(names):
        raise ShapeError(f"points has fields {list(given.dtype.names or ())}, wanted {list(names)}")
    packed = np.zeros(given.shape, dtype=dtype)
    for name in names:
        packed[name] = given[name]
    if packed.ndim == 1:
        packed = packed[None]
    if packed.ndim != 2:
        raise ShapeError(f"points has {packed.ndim} axes, wanted [n] or [height, width]")
    data = array.array("B")
    data.frombytes(packed.tobytes())
    cloud = PointCloud2()
    cloud.header = header
    cloud.height, cloud.width = packed.shape
    cloud.fields = list(fields)
    cloud.is_bigendian = sys.byteorder == "big"
    cloud.point_step = dtype.itemsize
    cloud.row_step = dtype.itemsize * cloud.width
    # Dense: no point is marked absent by NaN, told exactly instead of always the same.
    cloud.is_dense = not any(packed.dtype[name].kind == "f" and np.isnan(packed[name]).any() for name in names)
    cloud.data = data
    return cloud


def create_cloud_xyz32(header: Header, points: Array | Iterable[Sequence[float]]) -> PointCloud2:
    """Make a cloud of bare positions [n, 3], float32, in the header's frame."""
    fields = [
        PointField(name=name, offset=4 * number, datatype=PointField.FLOAT32, count=1)
        for number, name in enumerate("xyz")
    ]
    return create_cloud(header, fields, points)
