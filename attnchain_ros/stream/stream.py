"""Everything between what comes in and the windows that go to the rollout; the same for every driver."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..rollout.window import Window
from .assembly import WindowAssembler
from .buffer import Batch, FrameBuffer
from .config import StreamConfig
from .frame import Calibration, DepthImage, Event, Frame, MaskImage, NoMoreMasks, Refused


class Stream:
    """Images, masks, depth and calibrations in, batches out; ``assemble`` turns these into windows.

    ``take_in`` may be called from any thread, ``assemble`` belongs to the thread that computes.

    Args:
        config: options.
        frames: of a window.
        on_ready, on_problem, waits, clock: see ``FrameBuffer``.
        intrinsics: see ``WindowAssembler``.
    Attributes:
        buffer: frames, batches and accounts.
        assembler: calibrations, depth, and what was assumed for the last window.
    Raises:
        ConfigError: the options do not go together.
    """

    def __init__(
        self,
        config: StreamConfig,
        frames: int,
        on_ready: Callable[[], None] = lambda: None,
        on_problem: Callable[[str, str], object] = lambda cause, text: None,
        *,
        waits: bool = True,
        clock: bool = True,
        intrinsics: np.ndarray | None = None,
    ) -> None:
        self.buffer = FrameBuffer(config, frames, on_ready, on_problem, waits=waits, clock=clock)
        self.assembler = WindowAssembler(
            config.box, config.tolerance_ns, rectified=config.image_rectified, intrinsics=intrinsics
        )

    def take_in(self, event: Event) -> None:
        """One thing that came, in the order of arrival."""
        if isinstance(event, Frame):
            self.buffer.push(event)
        elif isinstance(event, MaskImage):
            self.buffer.push_mask(event.stamp_ns, event.mask)
        elif isinstance(event, DepthImage):
            self.assembler.depths.add(event.stamp_ns, event)
        elif isinstance(event, Calibration):
            if self.assembler.cameras.update(event.numbers, event.stamp_ns):
                self.buffer.break_before(event.stamp_ns, "calibration")
        elif isinstance(event, NoMoreMasks):
            self.buffer.end_masks()
        elif isinstance(event, Refused) and event.frame:
            self.buffer.count_refused("undecodable")

    def configure(self, config: StreamConfig, frames: int) -> None:
        """Other options from the next batch on; the box and ``image_rectified`` stay."""
        self.assembler.depths.tolerance_ns = config.tolerance_ns
        self.buffer.configure(config, frames)

    def assemble(self, batch: Batch) -> Window:
        """The window of a batch.

        Raises:
            InputError: masks, sizes or stamps cannot be used.
        """
        # Only now: windows of the pass before may have waited until here.
        if batch.reset in ("stamp_back", "clock_jump"):
            self.assembler.jump_back(batch.frames[0].stamp_ns)
        return self.assembler.assemble(batch.frames)
