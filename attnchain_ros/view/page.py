"""The page: a timeline to play and scrub, what is drawn and how it is coloured, and files to take along."""

from __future__ import annotations

import contextlib
import io
import math
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ConfigError
from ..files.animation import animated_glb_bytes
from .footage import Footage, Moment
from .scene import COLORINGS, CONFIDENCE, Scene

if TYPE_CHECKING:
    import viser

MAX_GLB_FRAMES = 300
_AHEAD = 8
"""Meshes that are sent before their turn while it plays."""
_IDLE_S = 0.2
_SPEEDS = ("0.1", "0.25", "0.5", "1", "2", "4")


@dataclass(frozen=True)
class PageOptions:
    """How the page is served.

    Attributes:
        host: address that is listened on; loopback = only this computer, and whoever tunnels to it.
        port: the first that is tried; where it is taken, the next free one.
        budget_mb: meshes that the browser keeps, megabytes.
        live: footage grows, and the newest frame is shown until somebody scrubs.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    budget_mb: int = 256
    live: bool = False


def start_server(options: PageOptions) -> viser.ViserServer:
    """A server of viser that tells nothing on the terminal and opens no tunnel of its own.

    Raises:
        ConfigError: viser is not installed, or the address cannot be listened on.
    """
    try:
        import viser
    except ImportError as error:
        raise ConfigError(f"the page needs the extra 'view': pip install 'attnchain_ros[view]' ({error})") from error

    class Server(viser.ViserServer):
        """viser lets every browser ask for a public address of the page; results are not handed out like that."""

        def request_share_url(self, verbose: bool = True) -> str | None:
            return None

    try:
        # viser tries a thousand ports before it gives up an address that is not this computer's.
        socket.create_server(
            (options.host, 0), family=socket.AF_INET6 if ":" in options.host else socket.AF_INET
        ).close()
        with contextlib.redirect_stdout(io.StringIO()):
            return Server(host=options.host, port=options.port, label="attnchain", verbose=False)
    except (OSError, OverflowError, RuntimeError, AssertionError) as error:
        raise ConfigError(f"cannot listen on {options.host}, port {options.port}: {error}") from error


class Page:
    """One page for all browsers: what one of them scrubs, all see. ``run`` owns the scene; callbacks only leave wishes.

    Attributes:
        server: of viser.
        number: of the frame that is shown, None before the first.
    """

    def __init__(self, footage: Footage, options: PageOptions = PageOptions()) -> None:
        """Start serving.

        Raises:
            ConfigError: as ``start_server``.
        """
        self.footage = footage
        self.number: int | None = None
        self._live = options.live
        self.server = start_server(options)
        self._scene = Scene(self.server, footage, options.budget_mb * 10**6)
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._wanted: int | None = None
        self._playing = False
        self._following = options.live
        self._changed = False
        self._span = (0, 0)
        self._eyes = 0
        self._generation = -1
        self._clock_ns = 0.0
        self._build()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that it listens on."""
        return self.server.get_host(), self.server.get_port()

    @property
    def playing(self) -> bool:
        """Whether it plays."""
        return self._playing

    def close(self) -> None:
        """Stop serving."""
        self.server.stop()

    def run(self, stop: threading.Event) -> None:
        """Show what is asked for until ``stop``; call it in one thread."""
        before = time.monotonic()
        while not stop.is_set():
            self._wake.clear()
            now = time.monotonic()
            self.step(now - before)
            before = now
            self._wake.wait(0.01 if self._playing else _IDLE_S)

    def step(self, seconds: float) -> None:
        """Go on by so much time; ``run`` calls it again and again."""
        self._follow_footage()
        first, end = self._span
        if first == end:
            return
        with self._lock:
            wanted, self._wanted = self._wanted, None
            changed, self._changed = self._changed, False
        number = first if self.number is None else min(max(self.number, first), end - 1)
        if wanted is not None:
            number = min(max(wanted, first), end - 1)
        elif self._following:
            number = end - 1
        elif self._playing:
            number = self._played(number, seconds)
        if wanted is not None or not self._playing:
            self._clock_ns = 0.0
        if changed:
            self._take_options()
        if changed or number != self.number:
            moment = self.footage.moment(number)
            if moment is None:  # it went since
                return
            if self.number is None:
                self._scene.frame_view(moment)
                self._scene.show_path()
            self._scene.show(moment)
            self.number = number
            self._tell(moment)
        if self._playing:
            self._send_ahead(number)

    def _played(self, number: int, seconds: float) -> int:
        """The frame that is due: as fast as recorded, times the speed."""
        first, end = self._span
        stamps = self.footage.stamps()[: end - first]
        self._clock_ns += seconds * 1e9 * float(self._speed.value)
        while True:
            place = number - first
            if place + 1 >= len(stamps):
                if not self._loop.value or len(stamps) < 2:
                    self._set_playing(False)
                    return number
                # The last frame stays for as long as the one before.
                length = stamps[-1] - stamps[-2]
                following = first
            else:
                length, following = stamps[place + 1] - stamps[place], number + 1
            if self._clock_ns < length:
                return number
            self._clock_ns -= length
            number = following
            if seconds > 1.0:  # a computer that slept does not catch up
                self._clock_ns = 0.0

    def _send_ahead(self, number: int) -> None:
        first, end = self._span
        for ahead in range(1, _AHEAD + 1):
            place = number + ahead
            moment = self.footage.moment(place if place < end else first + (place - end) % (end - first))
            if moment is not None:
                self._scene.prepare(moment)

    def _follow_footage(self) -> None:
        """Let the timeline be as long as the footage."""
        span, generation = self.footage.span, self.footage.generation
        if span == self._span and generation == self._generation:
            return
        if generation != self._generation and self._generation >= 0:
            self._scene.repaint()
            self.number = None
        grown = span != self._span
        self._span, self._generation = span, generation
        if grown and span[1] > span[0]:
            self._slider.min, self._slider.max = span[0], max(span[1] - 1, span[0] + 1)
            self._slider.disabled = span[1] - span[0] < 2
            if self.number is not None:
                self._scene.show_path()

    def _build(self) -> None:
        gui: Any = self.server.gui  # the values of its handles are declared as read-only, and are not
        gui.configure_theme(dark_mode=True, show_share_button=False)
        gui.main_panel.dock_right()
        self._info = gui.add_markdown("waiting for results ..." if self._live else "")
        with gui.add_folder("Timeline"):
            self._slider = gui.add_slider("Frame", min=0, max=1, step=1, initial_value=0, disabled=True)
            self._play = gui.add_button("Play")
            self._speed = gui.add_dropdown("Speed", _SPEEDS, initial_value="1")
            self._loop = gui.add_checkbox("Loop", True)
            if self._live:
                self._follow = gui.add_checkbox("Newest", True)
        with gui.add_folder("Show"):
            self._coloring = gui.add_dropdown("Colour", COLORINGS, initial_value=COLORINGS[0])
            self._checks = {name: gui.add_checkbox(name.capitalize(), True) for name in self._scene.visible}
        with gui.add_folder("Export"):
            still = gui.add_button("This frame (GLB)")
            moving = gui.add_button("Animation (GLB)")
        self._slider.on_update(self._on_scrub)
        self._play.on_click(lambda _: self._set_playing(not self._playing))
        for handle in (self._coloring, *self._checks.values()):
            handle.on_update(lambda _: self._note_change())
        if self._live:
            self._follow.on_update(lambda event: self._set_following(bool(event.target.value)))
        still.on_click(lambda event: self._send(event, "mesh.glb", self.still_glb))
        moving.on_click(lambda event: self._send(event, "animation.glb", self.moving_glb))

    def _on_scrub(self, event: Any) -> None:
        if event.client is None:  # set by ourselves
            return
        with self._lock:
            self._wanted = int(self._slider.value)
        if self._live and self._following:
            self._follow.value = False
            self._following = False
        self._wake.set()

    def _set_playing(self, playing: bool) -> None:
        if playing and self._live:
            self._set_following(False)
        if playing and self.number is not None and not self._loop.value and self.number + 1 >= self._span[1]:
            with self._lock:
                self._wanted = self._span[0]
        self._playing = playing
        self._play.label = "Pause" if playing else "Play"
        self._wake.set()

    def _set_following(self, following: bool) -> None:
        self._following = following
        if following:
            self._playing = False
            self._play.label = "Play"
        if self._follow.value != following:
            self._follow.value = following
        self._wake.set()

    def _note_change(self) -> None:
        with self._lock:
            self._changed = True
        self._wake.set()

    def _take_options(self) -> None:
        if self._coloring.value != self._scene.coloring:
            self._scene.coloring = self._coloring.value
            self._scene.repaint()
        self._scene.visible = {name: bool(handle.value) for name, handle in self._checks.items()}
        self._scene.show_path()

    def _tell(self, moment: Moment) -> None:
        first, end = self._span
        if self._slider.value != moment.number:
            self._slider.value = moment.number
        sure = moment.shape.confidence
        seconds = (moment.stamp_ns - self.footage.stamps()[0]) / 1e9
        eye = "none" if moment.eye is None else "trusted" if moment.eye.trusted else "doubtful (red)"
        lines = [
            f"**{self.footage.name}**",
            f"frame {moment.number} of {first} to {end - 1}, {seconds:.3f} s",
            f"confidence {'unknown' if math.isnan(sure) else f'{sure:.2f}'}, camera pose {eye}",
        ]
        if self._scene.coloring == CONFIDENCE:
            lines.append("red 0, yellow 0.5, green 1, grey unknown")
        lines += [f"*{note}*" for note in self.footage.notes]
        self._info.content = "  \n".join(lines)

    def still_glb(self) -> bytes | None:
        """The frame that is shown, in its own colours; None before the first."""
        moment = None if self.number is None else self.footage.moment(self.number)
        if moment is None:
            return None
        shape = moment.shape
        return animated_glb_bytes(shape.vertices[None], shape.surface.faces, shape.surface.colors, np.zeros(1))

    def moving_glb(self) -> bytes | None:
        """The animation of the mesh that is shown, all frames that are kept of it (at most 300, evenly chosen)."""
        found = None if self.number is None else self.footage.run_of(self.number)
        if found is None:
            return None
        surface, vertices, stamps = found
        times = (stamps - stamps[0]) / 1e9
        return animated_glb_bytes(vertices, surface.faces, surface.colors, times, max_frames=MAX_GLB_FRAMES)

    def _send(self, event: Any, name: str, make: Callable[[], bytes | None]) -> None:
        data = make()
        if data is not None and event.client is not None:
            event.client.send_file_download(name, data, save_immediately=True)
