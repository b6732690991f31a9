"""From a window's result to messages: pure functions, one per message. Lengths are scaled by ``result.scale``.

Mesh, tracks, poses and TF of one window are all scaled by the same factor here, so that they agree with one another.
"""

from __future__ import annotations

import array

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, PoseStamped, PoseWithCovarianceStamped, Quaternion, TransformStamped, Vector3
from nav_msgs.msg import Path
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from ..files.published import CLOUD_DTYPE, CLOUD_FIELDS, cloud_rows, invert_pose, is_dense, pose_covariance, scaled_pose
from ..rollout.window import WindowResult
from . import cdr

_LIGHT = np.array([0.35, 0.8, 0.48])
_AMBIENT = 0.45


def time_message(stamp_ns: int) -> Time:
    """Nanoseconds as a Time."""
    return Time(sec=int(stamp_ns // 10**9), nanosec=int(stamp_ns % 10**9))


def header(stamp_ns: int, frame_id: str) -> Header:
    """A header with an image's own stamp."""
    return Header(stamp=time_message(stamp_ns), frame_id=frame_id)


def flat(kind: str, values: np.ndarray) -> array.array[int] | array.array[float]:
    """Values as the array that rosidl's fields take without looking at each element; ``kind`` as in ``array``."""
    result = array.array(kind)
    result.frombytes(np.ascontiguousarray(values, dtype=np.dtype(kind)).tobytes())
    return result


def quaternion_xyzw(rotation: np.ndarray) -> np.ndarray:
    """[3, 3] proper rotation as a unit quaternion x, y, z, w with w >= 0; float64.

    Takes the largest of the four components from the diagonal, so that it is exact for every angle.
    """
    m = np.asarray(rotation, np.float64)
    squares = np.array([
        1 + m[0, 0] - m[1, 1] - m[2, 2],
        1 - m[0, 0] + m[1, 1] - m[2, 2],
        1 - m[0, 0] - m[1, 1] + m[2, 2],
        1 + m[0, 0] + m[1, 1] + m[2, 2],
    ])  # fmt: skip
    largest = int(np.argmax(squares))
    products = np.array([
        [squares[0], m[0, 1] + m[1, 0], m[0, 2] + m[2, 0], m[2, 1] - m[1, 2]],
        [m[0, 1] + m[1, 0], squares[1], m[1, 2] + m[2, 1], m[0, 2] - m[2, 0]],
        [m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], squares[2], m[1, 0] - m[0, 1]],
        [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], squares[3]],
    ])  # fmt: skip
    found = products[largest]
    found = found / np.linalg.norm(found)
    return -found if found[3] < 0 else found


def transform_message(stamp_ns: int, parent: str, child: str, parent_from_child: np.ndarray) -> TransformStamped:
    """One TF transform."""
    message = TransformStamped(header=header(stamp_ns, parent), child_frame_id=child)
    x, y, z = (float(value) for value in parent_from_child[:3, 3])
    message.transform.translation = Vector3(x=x, y=y, z=z)
    message.transform.rotation = _quaternion(parent_from_child)
    return message


def _quaternion(pose: np.ndarray) -> Quaternion:
    x, y, z, w = (float(value) for value in quaternion_xyzw(pose[:3, :3]))
    return Quaternion(x=x, y=y, z=z, w=w)


def pose_message(pose: np.ndarray) -> Pose:
    """A rigid [4, 4] transform as a Pose."""
    x, y, z = (float(value) for value in pose[:3, 3])
    return Pose(position=Point(x=x, y=y, z=z), orientation=_quaternion(pose))


def camera_pose(result: WindowResult, frame: int, object_frame: str) -> PoseWithCovarianceStamped:
    """The camera in the object's frame at one image, with a rough covariance."""
    message = PoseWithCovarianceStamped(header=header(int(result.stamps_ns[frame]), object_frame))
    message.pose.pose = pose_message(invert_pose(scaled_pose(result, frame)))
    message.pose.covariance = pose_covariance(result, frame)
    return message


def pose_row(pose: np.ndarray) -> np.ndarray:
    """A rigid [4, 4] transform as [7]: position x, y, z, orientation x, y, z, w."""
    return np.concatenate([np.asarray(pose[:3, 3], np.float64), quaternion_xyzw(pose[:3, :3])])


def path_object(frame_id: str, stamps_ns: np.ndarray, poses: np.ndarray) -> Path:
    """The same as ``cdr.path`` built from objects: slow, for the check at start and as the way out."""
    message = Path(header=header(int(stamps_ns[-1]), frame_id))
    for stamp, (x, y, z, qx, qy, qz, qw) in zip(stamps_ns.tolist(), poses.tolist(), strict=True):
        pose = Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=qx, y=qy, z=qz, w=qw))
        message.poses.append(PoseStamped(header=header(stamp, frame_id), pose=pose))
    return message


def track_cloud(result: WindowResult, frame: int, camera_frame: str) -> PointCloud2:
    """The tracked points at one image, in its camera's optical frame; NaN = absent.

    Fields: x, y, z float32; rgb float32 holding 0x00RRGGBB (PCL's and RViz's way); id int32; confidence float32;
    visibility uint8 (1 seen, 0 hidden).
    """
    rows = cloud_rows(result, frame)
    fields = [
        PointField(name=name, offset=offset, datatype=datatype, count=1) for name, offset, datatype in CLOUD_FIELDS
    ]
    return PointCloud2(
        header=header(int(result.stamps_ns[frame]), camera_frame),
        height=1,
        width=len(rows),
        fields=fields,
        is_bigendian=False,
        point_step=CLOUD_DTYPE.itemsize,
        row_step=CLOUD_DTYPE.itemsize * len(rows),
        data=flat("B", rows.view(np.uint8)),
        is_dense=is_dense(rows),
    )


def shaded_triangles(vertices: np.ndarray, faces: np.ndarray, colors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A mesh as a triangle list with its shading in the colours.

    Args:
        vertices: [V, 3].   faces: [T, 3].   colors: [V, 3] uint8.
    Returns:
        points [3 T, 3] float64 and colours [3 T, 4] float32 in [0, 1], alpha 1.
    """
    corners = vertices[faces].astype(np.float64)  # [T, 3, 3]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.maximum(np.linalg.norm(normals, axis=1), 1e-20)
    towards = (normals @ (_LIGHT / np.linalg.norm(_LIGHT))) / lengths
    shade = _AMBIENT + (1 - _AMBIENT) * np.clip(0.5 + 0.5 * towards, 0, 1)  # half-Lambert: no black side
    rgba = np.ones((len(faces) * 3, 4), np.float32)
    rgba[:, :3] = ((colors[faces] / 255.0) * shade[:, None, None]).reshape(-1, 3)
    return corners.reshape(-1, 3), rgba


def marker_array_object(
    stamp: tuple[int, int], frame_id: str, namespace: str, marker_id: int, points: np.ndarray, colors: np.ndarray
) -> MarkerArray:
    """The same as ``cdr.marker_array`` built from objects: slow, for the check at start and as the way out."""
    marker = Marker(ns=namespace, id=marker_id, type=Marker.TRIANGLE_LIST, action=Marker.ADD)
    marker.header = Header(stamp=Time(sec=stamp[0], nanosec=stamp[1]), frame_id=frame_id)
    marker.pose.orientation = Quaternion(x=0.0, y=0.0, z=0.0, w=1.0)
    marker.scale = Vector3(x=1.0, y=1.0, z=1.0)
    marker.color = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)
    marker.points = [Point(x=x, y=y, z=z) for x, y, z in points.astype(np.float64).tolist()]
    marker.colors = [ColorRGBA(r=r, g=g, b=b, a=a) for r, g, b, a in colors.astype(np.float32).tolist()]
    return MarkerArray(markers=[marker])


def check_cdr() -> str:
    """Compare numpy-built bytes with what the running middleware reads and writes; returns "" or what differs.

    Not byte by byte: the middleware leaves whatever was in memory in the padding between values.
    """
    rng = np.random.default_rng(0)
    for count, frame_id, namespace in ((0, "", ""), (3, "a", "mesh"), (6, "object_12", "ns")):
        points, colors = rng.normal(size=(count, 3)), rng.random((count, 4)).astype(np.float32)
        args = ((7, 123456789), frame_id, namespace, count, points, colors)
        difference = _difference(marker_array_object(*args), cdr.marker_array(*args))
        if difference:
            return f"a marker of {count} points {difference}"
        # Every length of name, since padding depends on it; a path has at least one pose.
        for length in range(len(frame_id), len(frame_id) + 8):
            stamps, poses = np.arange(count + 1) * 1_234_567_891, rng.normal(size=(count + 1, 7))
            name = "f" * length
            difference = _difference(path_object(name, stamps, poses), cdr.path(name, stamps, poses))
            if difference:
                return f"a path of {count + 1} poses {difference}"
    return ""


def _difference(wanted: MarkerArray | Path, got: bytes) -> str:
    """How bytes differ from an object-built message, "" if the middleware takes them for the same."""
    length = len(serialize_message(wanted))
    if length != len(got):
        return f"is {len(got)} bytes here and {length} from the middleware"
    return "" if deserialize_message(got, type(wanted)) == wanted else "is read differently by the middleware"
