"""The page: what it shows when, what it sends, and, where there is a Chromium, what a browser makes of it."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hand_made
import numpy as np
import pytest
from view import browser

from attnchain_ros.camera.poses import invert_pose
from attnchain_ros.errors import ConfigError
from attnchain_ros.files.animation import read_animated_glb
from attnchain_ros.view.footage import Eye, Footage, Points, Surface, track_colors

pytest.importorskip("viser")
from attnchain_ros.view.page import Page, PageOptions
from attnchain_ros.view.scene import CONFIDENCE, confidence_colors

STEP = 10**8
RED = np.tile(np.array([220, 20, 20], np.uint8), (6, 1))


def _fill(footage: Footage, first: int, count: int, topology: int = 1) -> None:
    stamps = (first + np.arange(count, dtype=np.int64)) * STEP
    vertices = np.stack([hand_made.vertices_at(int(stamp)) for stamp in stamps])
    confidence = np.linspace(0, 1, count, dtype=np.float32)
    colors = track_colors(np.arange(6))
    for number, stamp in enumerate(stamps.tolist()):
        pose = invert_pose(hand_made.camera_from_object_at(stamp))
        footage.add_eye(stamp, Eye(pose, number != 1))
        footage.add_points(stamp, Points(vertices[number], colors, np.arange(6) != 2, np.full(6, 0.5, np.float32)))
        footage.add_image(stamp, np.full((24, 32, 3), (20, 200, 20), np.uint8))
    footage.add_window(stamps, Surface(topology, hand_made.FACES, RED), vertices, confidence)


@pytest.fixture
def footage() -> Footage:
    made = Footage("seven frames")
    made.set_intrinsics(hand_made.INTRINSICS, (24, 32))
    _fill(made, 0, 7)
    return made


@pytest.fixture
def page(footage: Footage) -> Iterator[Page]:
    made = Page(footage, PageOptions(port=0))
    try:
        yield made
    finally:
        made.close()


def _mesh(page: Page, number: int, generation: int = 0) -> Any:
    return page.server.scene.get_handle_by_name(f"/mesh/{generation}_{number:06d}")


def _scrub(page: Page, number: int) -> None:
    """As a browser does."""
    page._slider.value = number
    page._on_scrub(SimpleNamespace(client=object(), target=page._slider))
    page.step(0.0)


def _read(data: bytes | None, folder: Path) -> Any:
    assert data is not None
    (folder / "sent.glb").write_bytes(data)
    return read_animated_glb(folder / "sent.glb")


def test_it_serves_on_loopback_alone(page: Page) -> None:
    host, port = page.address
    assert host == "127.0.0.1"
    with urllib.request.urlopen(f"http://{host}:{port}", timeout=20) as answer:
        assert answer.status == 200 and b"<html" in answer.read()
    bound = Path("/proc/net/tcp").read_text()
    listening = {row.split()[1] for row in bound.splitlines()[1:] if row.split()[3] == "0A"}
    assert {item for item in listening if item.endswith(f":{port:04X}")} == {f"0100007F:{port:04X}"}
    assert page.server.request_share_url() is None  # no browser opens a tunnel to the world


def test_an_address_that_is_not_this_computers_is_refused(footage: Footage) -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on 192\.0\.2\.1, port 0"):
        Page(footage, PageOptions(host="192.0.2.1", port=0))


def test_scrubbing_shows_one_frame_at_a_time(page: Page, footage: Footage, tmp_path: Path) -> None:
    page.step(0.0)
    assert page.number == 0 and _mesh(page, 0).visible
    _scrub(page, 5)
    assert page.number == 5 and _mesh(page, 5).visible and not _mesh(page, 0).visible
    moment = footage.moment(5)
    assert moment is not None and moment.eye is not None and moment.points is not None
    sent = _read(_mesh(page, 5).glb_data, tmp_path)
    np.testing.assert_allclose(sent.vertices[0], moment.shape.vertices, atol=1e-6)
    np.testing.assert_array_equal(sent.vertex_colors, RED)
    camera = page.server.scene.get_handle_by_name("/camera")
    np.testing.assert_allclose(camera.position, moment.eye.object_from_camera[:3, 3], atol=1e-6)
    assert camera.image is not None and camera.fov == pytest.approx(2 * np.arctan(12 / 50))
    points = page.server.scene.get_handle_by_name("/tracks")
    np.testing.assert_allclose(points.points, moment.points.positions[moment.points.visible], atol=1e-6)
    assert "frame 5 of 0 to 6, 0.500 s" in page._info.content and "trusted" in page._info.content
    _scrub(page, 1)
    assert "doubtful" in page._info.content


def test_playing_keeps_the_recorded_pace(page: Page) -> None:
    page.step(0.0)
    page._set_playing(True)
    shown = []
    for _ in range(16):
        page.step(0.05)
        shown.append(page.number)
    # 0.1 s a frame; after the last one from the start again.
    assert shown == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 0, 0, 1]
    assert _mesh(page, 4) is not None and not _mesh(page, 4).visible  # sent before its turn
    page._speed.value = "2"
    page.step(0.1)
    assert page.number == 3
    page._loop.value, page._speed.value = False, "1"
    for _ in range(5):
        page.step(0.1)
    assert page.number == 6 and not page.playing
    page._set_playing(True)
    page.step(0.0)
    assert page.number == 0 and page.playing


def test_confidence_is_a_colour(page: Page, tmp_path: Path) -> None:
    page.step(0.0)
    page._coloring.value = CONFIDENCE
    for number in (0, 3, 6):
        _scrub(page, number)
        sent = _read(_mesh(page, number).glb_data, tmp_path)
        wanted = confidence_colors(np.array(number / 6))
        np.testing.assert_allclose(sent.vertex_colors.astype(int), np.tile(wanted, (6, 1)), atol=1)
    assert "red 0" in page._info.content
    # Files have the mesh's own colours all the same.
    np.testing.assert_array_equal(_read(page.still_glb(), tmp_path).vertex_colors, RED)


def test_what_is_switched_off_is_not_shown(page: Page) -> None:
    page.step(0.0)
    scene = page.server.scene
    assert scene.get_handle_by_name("/path/000003") is not None
    for handle in page._checks.values():
        handle.value = False
    page.step(0.0)
    assert not _mesh(page, 0).visible
    assert [scene.get_handle_by_name(name) for name in ("/tracks", "/camera", "/path/000003")] == [None] * 3
    page._checks["mesh"].value = True
    page.step(0.0)
    assert _mesh(page, 0).visible


def test_the_browser_keeps_no_more_than_it_may(footage: Footage) -> None:
    page = Page(footage, PageOptions(port=0))
    try:
        page.step(0.0)
        one = page._scene.sent
        page._scene._budget = 7 * one // 2
        for number in range(7):
            _scrub(page, number)
        kept = [number for number in range(7) if _mesh(page, number) is not None]
        assert kept == [4, 5, 6]
        _scrub(page, 0)  # comes again
        assert _mesh(page, 0).visible and _mesh(page, 4) is None
    finally:
        page.close()


def test_files_to_take_along(page: Page, footage: Footage, tmp_path: Path) -> None:
    assert page.still_glb() is None and page.moving_glb() is None
    _scrub(page, 2)
    moving = _read(page.moving_glb(), tmp_path)
    assert moving.vertices.shape == (7, 6, 3)
    np.testing.assert_allclose(moving.times_s, np.arange(7) * 0.1, atol=1e-6)
    for number in range(7):
        np.testing.assert_allclose(moving.vertices[number], hand_made.vertices_at(number * STEP), atol=1e-6)
    sent: list[tuple[str, int]] = []
    client = SimpleNamespace(send_file_download=lambda name, data, save_immediately: sent.append((name, len(data))))
    page._send(SimpleNamespace(client=client), "animation.glb", page.moving_glb)
    assert sent == [("animation.glb", len(page.moving_glb() or b""))]


def test_live_footage_is_followed_until_somebody_scrubs() -> None:
    footage = Footage("live", most=12)
    footage.set_intrinsics(hand_made.INTRINSICS, (24, 32))
    page = Page(footage, PageOptions(port=0, live=True))
    try:
        page.step(0.0)
        assert page.number is None and page._slider.disabled
        _fill(footage, 0, 7)
        page.step(0.0)
        assert page.number == 6 and page._slider.max == 6
        _fill(footage, 6, 7)
        page.step(0.0)
        assert page.number == 12 and (page._slider.min, page._slider.max) == (1, 12)
        _scrub(page, 4)
        _fill(footage, 12, 4)
        page.step(0.0)
        assert page.number == 4 and not page._follow.value
        page._set_following(True)
        page.step(0.0)
        assert page.number == 15
        _fill(footage, 0, 3, topology=2)  # the camera's clock was set back
        page.step(0.0)
        assert page.number == 18 and _mesh(page, 18, 1).visible and _mesh(page, 15) is None
    finally:
        page.close()


@pytest.mark.slow
@pytest.mark.skipif(browser.CHROMIUM is None, reason="needs a Chromium: apt-get install chromium")
def test_a_browser_draws_it_plays_it_and_saves_it(page: Page, footage: Footage, tmp_path: Path) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=page.run, args=(stop,))
    thread.start()
    try:
        with browser.Browser(tmp_path, "http://{}:{}".format(*page.address), (800, 500)) as seen:
            seen.wait(lambda: "frame 0 of 0 to 6" in seen.text(), "the first frame")

            def shares() -> tuple[float, float]:
                """Of the drawing's pixels: as red as the mesh, and as green as the image in the camera."""
                drawn = seen.screenshot(tmp_path / "page.png")[155:, 60:470].astype(int)
                red, green = drawn[..., 0], drawn[..., 1]
                mesh, image = (red > 60) & (red > 2.5 * green), (green > 100) & (green > 3 * red)
                return float(mesh.mean()), float(image.mean())

            seen.wait(lambda: min(shares()) > 0.01, "mesh and image are drawn")
            seen.click("Play")
            seen.wait(lambda: page.playing, "it plays")
            seen.wait(lambda: page.number not in (0, None), "it goes on")
            seen.click("Pause")
            seen.wait(lambda: not page.playing, "it stands")
            number = page.number
            seen.wait(lambda: f"frame {number} of 0 to 6" in seen.text(), "the page says where it stands")
            seen.click("Animation (GLB)")
            saved = seen.downloads / "animation.glb"
            seen.wait(lambda: saved.is_file() and saved.read_bytes() == page.moving_glb(), "the file is saved")
            page._checks["mesh"].value = False
            page._checks["tracks"].value = False
            seen.wait(lambda: shares()[0] < 0.01, "the mesh is gone")
    finally:
        stop.set()
        thread.join()
