"""What the node keeps of one object beside its stream of frames."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..rollout.window import WindowResult
from ..stream.accounts import Accounts
from ..stream.several import Member
from .live import LiveFigures, LiveThread


@dataclass(eq=False)
class ObjectTrack:
    """One object.

    Attributes:
        member: its id and its stream.
        live: its live lane; None where that is switched off.
        first_topology: added to topology ids, so that an id that comes again does not repeat those of before.
        latest: its newest result; None before the first.
        windows: published so far.
        overlap_awaited: another anchor was set, whose overlap with the first mask is to be told.
    """

    member: Member
    live: LiveThread | None = None
    first_topology: int = 0
    latest: WindowResult | None = None
    windows: int = 0
    overlap_awaited: bool = False

    @property
    def object_id(self) -> int:
        """The id in masks and messages."""
        return self.member.object_id

    def take(self, result: WindowResult) -> WindowResult:
        """Keep a new result; returns it as it is to be published."""
        if self.live is not None:
            result = self.live.doubted(result)
        if self.first_topology:
            result = replace(result, topology_id=result.topology_id + self.first_topology)
        self.latest = result
        self.windows += 1
        return result

    def figures(self) -> ObjectFigures:
        """What the diagnostics tell."""
        live = None if self.live is None else self.live.figures()
        return ObjectFigures(self.object_id, self.member.stream.buffer.accounts(), self.windows, self.latest, live)


@dataclass(frozen=True)
class ObjectFigures:
    """One object at one moment: its id, its frames, windows published, the newest of them, and its live lane."""

    object_id: int
    accounts: Accounts
    windows: int
    latest: WindowResult | None
    live: LiveFigures | None
