import numpy as np
import pytest

from attnchain_ros.errors import MeshError, ShapeError
from attnchain_ros.mesh.types import Mesh, face_areas_normals

TRIANGLE = np.eye(3, dtype=np.float32)
FACE = np.array([[0, 1, 2]], np.int32)


def test_good_mesh_is_kept():
    mesh = Mesh(TRIANGLE, FACE, np.zeros((3, 3), np.uint8))
    assert mesh.diagonal == pytest.approx(3**0.5)


@pytest.mark.parametrize(
    ("vertices", "faces", "colors", "error", "says"),
    [
        (TRIANGLE, FACE[:0], None, MeshError, "0 faces"),
        (TRIANGLE, FACE + 1, None, MeshError, "1 to 3, there are 0 to 2"),
        (TRIANGLE, FACE - 1, None, MeshError, "-1 to 1"),
        (np.where(TRIANGLE > 0, np.nan, TRIANGLE)[[1, 0, 2]], FACE, None, MeshError, "3 of 3 vertices are not finite"),
        (TRIANGLE.astype(np.float64), FACE, None, ShapeError, "float64"),
        (TRIANGLE, FACE.astype(np.int64), None, ShapeError, "int64"),
        (TRIANGLE, FACE.astype(np.float32), None, ShapeError, "integer"),
        (TRIANGLE[:, :2], FACE, None, ShapeError, "vertices"),
        (TRIANGLE, FACE, np.zeros((2, 3), np.uint8), ShapeError, "vertex_colors"),
        (TRIANGLE, FACE, np.zeros((3, 3), np.float32), ShapeError, "uint8"),
    ],
)
def test_bad_mesh_is_refused(vertices, faces, colors, error, says):
    with pytest.raises(error, match=says):
        Mesh(vertices, faces, colors)


def test_areas_and_normals():
    vertices = np.array([[0, 0, 0], [2, 0, 0], [0, 3, 0], [4, 0, 0]], np.float32)
    areas, normals = face_areas_normals(vertices, np.array([[0, 1, 2], [0, 1, 3]]))
    assert areas.tolist() == [3, 0]
    assert normals.tolist() == [[0, 0, 1], [0, 0, 0]]
