import numpy as np
import pytest
import torch

from attnchain_ros.config import SurfaceConfig
from attnchain_ros.conventions import OBJECT_HALF_EXTENT
from attnchain_ros.errors import Cancelled, ConfigError, ShapeError, SurfaceError
from attnchain_ros.lab.reference import surface as twin
from attnchain_ros.mesh import surface
from attnchain_ros.mesh.components import connected_components, open_edges

SMALL = SurfaceConfig(grid=32, coarse_grid=8, n_surface=10**6, target_vertices=10**6)


class Counted:
    """A field that counts its query points."""

    def __init__(self, field):
        self.field, self.queries, self.largest = field, 0, 0

    def __call__(self, points):
        self.queries += points.shape[0] * points.shape[1]
        self.largest = max(self.largest, points.shape[0] * points.shape[1])
        return self.field(points)


def ball(radius=0.6, centre=(0.03, -0.02, 0.05)):
    return lambda p: radius - (p - torch.tensor(centre)).norm(dim=-1)


def torus(p):
    ring = torch.stack([torch.hypot(p[..., 0], p[..., 1]) - 0.6, p[..., 2]], dim=-1)
    return 7 * (0.17 - ring.norm(dim=-1))


def box(half, centre=(0.0, 0.0, 0.0)):
    def field(p):
        q = (p - torch.tensor(centre)).abs() - torch.tensor(half)
        return -(q.clamp(min=0).norm(dim=-1) + q.amax(dim=-1).clamp(max=0))

    return field


def volume_of(mesh):
    corners = mesh.vertices.astype(np.float64)[mesh.faces]
    return np.einsum("ti,ti->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6


def stacked(fields):
    return lambda p: torch.stack([field(points) for field, points in zip(fields, p, strict=True)])


@pytest.mark.parametrize(
    "field", [ball(), torus, box((0.5, 0.3, 0.13), (0.1, 0.02, 0.0))], ids=["ball", "torus", "box"]
)
def test_sparse_evaluation_equals_dense(field):
    fields = stacked([field, lambda p: field(p) - 0.02])
    sparse = surface.surface_points(fields, 2, SMALL, 0)
    for a, b in zip(sparse, twin.surface_points(fields, 2, SMALL), strict=True):
        # Same edges in the same order. Logits are good to 1e-7; where an edge of 0.06 only grazes the surface they
        # differ by as little as 1e-3 between its ends, and the place is good to 0.06 * 1e-7 / 1e-3.
        assert a.shape == b.shape
        assert np.abs(a.numpy() - b).max() < 1e-5


@pytest.mark.parametrize("field", [ball(), torus], ids=["ball", "torus"])
def test_mesh_equals_dense(field):
    a, b = surface.extract_mesh(field, SMALL), twin.extract_mesh(field, SMALL)
    assert a.vertices.shape == b.vertices.shape and a.faces.shape == b.faces.shape
    by_place = [m.vertices[np.lexsort(np.round(m.vertices, 4).T)] for m in (a, b)]
    assert np.abs(by_place[0] - by_place[1]).max() < 2e-4  # sorted after rounding to 1e-4: neighbours may swap
    assert volume_of(a) == pytest.approx(volume_of(b), rel=1e-6)


def test_far_fewer_queries_than_dense():
    config = SurfaceConfig(grid=128, coarse_grid=32, n_surface=1000)
    field = Counted(torus)
    surface.surface_points(field, 1, config, 0)
    # Measured 3.8 % of 129^3; the surface has about 26 000 cells on the finest grid and 33^3 = 1.7 % are always asked.
    assert field.queries < 0.045 * 129**3


def test_places_to_look_at_make_up_for_a_coarser_first_grid():
    """Blocks between the nodes of a grid of 4 cells, in a field that is flat away from them, as a network's is: found
    where the anchor's own are near."""
    grids = surface.candidate_grids(SurfaceConfig(candidate_grid=32, coarse_grid=8, n_surface=10**6))
    assert (grids.grid, grids.coarse_grid) == (32, 4)
    blocks = [box((0.14, 0.14, 0.2), (x, 0.25, z)) for x, z in ((0.75, 0.25), (-0.75, -0.25), (0.25, 0.75))]

    def field(p):
        return torch.tanh(30 * torch.stack([block(p) for block in blocks]).amax(dim=0))

    def moved(p):
        return field(p - p.new_tensor((0.02, -0.05, 0.07)))

    wanted = twin.surface_points(stacked([field, moved]), 2, grids)
    near = torch.from_numpy(wanted[0].astype(np.float32))
    with pytest.raises(SurfaceError):  # too coarse by itself
        surface.surface_points(field, 1, grids, 0)
    found = surface.surface_points(stacked([field, moved]), 2, grids, 0, near=near)
    for a, b in zip(found, wanted, strict=True):
        assert a.shape == b.shape and np.abs(a.numpy() - b).max() < 1e-5


def test_what_is_far_from_the_places_is_found_by_the_first_grid():
    field = box((0.5, 0.3, 0.13), (0.1, 0.02, 0.0))
    grids = surface.candidate_grids(SurfaceConfig(candidate_grid=32, coarse_grid=8, n_surface=10**6))
    near = torch.tensor([[-0.9, -0.9, -0.9], [1.5, 0.0, 0.0]])  # one even lies outside of the grid
    points, dense = surface.surface_points(field, 1, grids, 0, near=near)[0], twin.surface_points(field, 1, grids)[0]
    assert points.shape == dense.shape and np.abs(points.numpy() - dense).max() < 1e-5


def test_half_as_many_queries_where_the_anchor_is_near():
    config = SurfaceConfig(grid=32, candidate_grid=32, coarse_grid=16, n_surface=10**6)
    near = surface.surface_points(torus, 1, config, 0)[0]
    plain, coarser = Counted(torus), Counted(torus)
    surface.surface_points(plain, 1, config, 0)
    surface.surface_points(coarser, 1, surface.candidate_grids(config), 0, near=near)
    assert coarser.queries < 0.7 * plain.queries


def test_surface_is_followed_where_the_coarse_grid_does_not_see_it():
    """A fin and a crack, both thinner than a coarse cell (0.25) and between its nodes, on and in a block."""
    block = box((0.4, 0.4, 0.4))
    fin, crack = box((0.3, 0.05, 0.3), (0.6, 0.125, 0.0)), box((0.05, 0.3, 0.5), (0.125, 0.3, 0.0))

    def field(p):
        return torch.minimum(torch.maximum(block(p), fin(p)), -crack(p))

    points, dense = surface.surface_points(field, 1, SMALL, 0)[0], twin.surface_points(field, 1, SMALL)[0]
    assert points.shape == dense.shape and np.abs(points.numpy() - dense).max() < 1e-5
    assert (points[:, 0] > 0.8).any() and ((points[:, 0] - 0.125).abs() < 0.06)[points[:, 1].abs() < 0.3].any()


def test_sheet_between_coarse_nodes_is_found():
    # Coarse cells are 0.25 wide, nodes at multiples of 0.25125; the sheet, 0.1 thick, touches none and changes no sign.
    field = box((0.5, 0.5, 0.05), (0.0, 0.0, 0.125))
    points = surface.surface_points(field, 1, SMALL, 0)[0]
    dense = twin.surface_points(field, 1, SMALL)[0]
    assert len(points) == len(dense) > 500


def test_scale_of_the_logits_does_not_matter():
    a = surface.surface_points(torus, 1, SMALL, 0)[0]
    b = surface.surface_points(lambda p: 1e-3 * torus(p), 1, SMALL, 0)[0]
    assert a.shape == b.shape and (a - b).abs().max() < 1e-5


def test_points_lie_on_the_surface_and_frames_keep_apart():
    radii = [0.3, 0.5, 0.7]
    points = surface.surface_points(stacked([ball(r, (0.0, 0.0, 0.0)) for r in radii]), 3, SMALL, 0)
    for radius, frame in zip(radii, points, strict=True):
        # Linear interpolation of a distance along an edge h = 0.063: off by at most h^2 / (8 r).
        assert (frame.norm(dim=1) - radius).abs().max() < 0.063**2 / (8 * radius) + 1e-6
    assert len(points[0]) < len(points[1]) < len(points[2])


def test_subsampling_repeats_and_does_not_depend_on_other_frames():
    config = SurfaceConfig(grid=32, coarse_grid=8, n_surface=300)
    both = surface.surface_points(stacked([ball(), torus]), 2, config, 5)
    again = surface.surface_points(stacked([ball(), ball(0.3)]), 2, config, 5)
    other = surface.surface_points(stacked([ball(), torus]), 2, config, 6)
    assert [p.shape for p in both] == [(300, 3), (300, 3)]
    assert torch.equal(both[0], again[0])
    assert not torch.equal(both[0], other[0])
    every = {tuple(p) for p in surface.surface_points(ball(), 1, SMALL, 0)[0].tolist()}
    kept = [tuple(p) for p in both[0].tolist()]
    assert len(set(kept)) == 300 and set(kept) <= every


def test_chunks_stay_within_the_limit_and_change_nothing():
    field = Counted(stacked([ball(), torus]))
    chunked = surface.surface_points(
        field, 2, SurfaceConfig(grid=32, coarse_grid=8, n_surface=10**6, query_chunk=1000), 0
    )
    assert field.largest <= 1000
    for a, b in zip(chunked, surface.surface_points(stacked([ball(), torus]), 2, SMALL, 0), strict=True):
        assert torch.equal(a, b)


def test_mesh_is_closed_outward_and_of_the_size_asked():
    config = SurfaceConfig(grid=64, coarse_grid=16, target_vertices=1500)
    mesh = surface.extract_mesh(torus, config)
    assert open_edges(mesh.faces) == 0
    assert len(mesh.vertices) == pytest.approx(1500, rel=0.02)
    assert len(mesh.vertices) - len(mesh.faces) // 2 == 0  # a torus: V - E + T = 0, E = 3 T / 2
    # 2 pi^2 R r^2, positive = outward. Measured 1.4 % below: triangles cut corners.
    assert volume_of(mesh) == pytest.approx(2 * np.pi**2 * 0.6 * 0.17**2, rel=0.02)


def test_surface_beyond_the_cube_is_closed_at_its_sides():
    # A bar that leaves the cube at both ends.
    mesh = surface.extract_mesh(box((3.0, 0.4, 0.3)), SMALL)
    assert open_edges(mesh.faces) == 0
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    assert low[0] == pytest.approx(-OBJECT_HALF_EXTENT, abs=1e-6)
    assert high[0] == pytest.approx(OBJECT_HALF_EXTENT, abs=1e-6)
    # Edges are rounded off by at most a cell (0.063).
    assert volume_of(mesh) == pytest.approx(2 * OBJECT_HALF_EXTENT * 0.8 * 0.6, rel=0.02)


def test_specks_are_dropped():
    speck = ball(0.1, (0.8, 0.8, 0.8))
    mesh = surface.extract_mesh(lambda p: torch.maximum(ball(0.5)(p), speck(p)), SMALL)
    assert connected_components(mesh.faces, len(mesh.vertices)).max() == 0
    both = SurfaceConfig(grid=32, coarse_grid=8, component_share=0.01, target_vertices=10**6)
    mesh = surface.extract_mesh(lambda p: torch.maximum(ball(0.5)(p), speck(p)), both)
    assert connected_components(mesh.faces, len(mesh.vertices)).max() == 1


def test_field_that_is_zero_on_nodes_still_closes():
    # Grid planes of 32 cells: multiples of 2.01 / 32 from -1.005; put all box sides exactly on some.
    step = 2 * OBJECT_HALF_EXTENT / 32
    mesh = surface.extract_mesh(box((6 * step, 4 * step, 2 * step)), SMALL)
    assert open_edges(mesh.faces) == 0


def test_noise_gives_a_closed_mesh():
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(17, 17, 17, generator=generator)

    def field(p):
        where = p.view(1, 1, 1, -1, 3).flip(-1)
        sampled = torch.nn.functional.grid_sample(noise[None, None], where, align_corners=True)
        return sampled.view(1, -1) - 0.3

    config = SurfaceConfig(grid=16, coarse_grid=16, component_share=0.0, target_vertices=10**6)
    assert open_edges(surface.extract_mesh(field, config).faces) == 0
    fewer = surface.extract_mesh(field, SurfaceConfig(grid=16, coarse_grid=16, target_vertices=600))
    assert open_edges(fewer.faces) == 0


def test_field_without_surface_says_so():
    fields = stacked([ball(), lambda p: -1 - p.norm(dim=-1)])
    with pytest.raises(SurfaceError, match=r"frame 1 .* -2\.741 to -1"):
        surface.surface_points(fields, 2, SMALL, 0)
    with pytest.raises(SurfaceError, match="never cross 0"):
        surface.extract_mesh(lambda p: 5 + p.norm(dim=-1), SMALL)
    with pytest.raises(SurfaceError, match="not finite"):
        surface.extract_mesh(lambda p: p[..., 0] / 0, SMALL)


def test_bad_grids_and_fields_are_refused():
    with pytest.raises(ConfigError, match="96"):
        surface.grid_levels(SurfaceConfig(grid=96, coarse_grid=32))
    with pytest.raises(ConfigError, match="16"):
        surface.grid_levels(SurfaceConfig(grid=16, coarse_grid=32))
    with pytest.raises(ShapeError, match="logits"):
        surface.extract_mesh(lambda p: p, SMALL)


def test_progress_rises_to_the_end_and_can_cancel():
    seen = []
    surface.extract_mesh(ball(), SMALL, lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen) and seen[-1] == (100, 100)

    def cancel(done, total):
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        surface.surface_points(ball(), 1, SMALL, 0, progress=cancel)
