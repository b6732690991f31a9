"""Noticing images that were sent and did not come: their camera_info or mask came, they did not. ROS-free.

A large image is many packets. Sent best effort, one packet lost is the image lost, and nothing on either side says so;
what is small and carries the same stamp comes through.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from .profiles import PROFILE, VARIABLE, find_profile

SPAN_S = 10.0
"""How far back is looked."""
SETTLING_S = 1.0
"""A stamp counts when it is so old: the image is published last and takes longest."""
LEAST = 10
SHARE = 0.2
"""Reported from so many stamps on, and from this share of lost images on."""
_RMEM = Path("/proc/sys/net/core/rmem_max")


@dataclass(frozen=True)
class Loss:
    """Images lost on the way in the last ``SPAN_S`` seconds.

    Attributes:
        sent: stamps that came on ``witness``.   lost: of these, how many came without their image.
        witness: the topic that tells: camera_info or mask.
    """

    sent: int
    lost: int
    witness: str


class LossWatch:
    """Compares the stamps of images with those of what is published beside them; any thread.

    Args:
        image: topic of the images.
        others: topics whose messages carry the images' stamps.
    """

    def __init__(self, image: str, others: tuple[str, ...]) -> None:
        self._image = image
        self._others = others
        self._lock = threading.Lock()
        self._heard: dict[str, deque[tuple[float, int]]] = {topic: deque(maxlen=4096) for topic in (image, *others)}

    def hear(self, topic: str, stamp_ns: int, now_s: float) -> None:
        """A message came; topics that are not watched are ignored, and so is stamp 0, which stands for any time."""
        heard = self._heard.get(topic)
        if heard is not None and stamp_ns:
            with self._lock:
                heard.append((now_s, stamp_ns))
                while heard[0][0] < now_s - SPAN_S:
                    heard.popleft()

    def clear(self) -> None:
        """Forget everything: nothing was listened to for a while."""
        with self._lock:
            for heard in self._heard.values():
                heard.clear()

    def loss(self, now_s: float) -> Loss | None:
        """What was lost, None where too little came to tell, or enough images came.

        Where images come but none carries a stamp of the others these are stamped in their own way, or belong to
        another camera: then nothing can be told.
        """
        with self._lock:
            images = {stamp for _, stamp in self._heard[self._image]}
            since = now_s - SPAN_S
            stamps = {
                topic: {stamp for came, stamp in self._heard[topic] if since <= came <= now_s - SETTLING_S}
                for topic in self._others
            }
        witness = max(stamps, key=lambda topic: len(stamps[topic]))
        sent = stamps[witness]
        lost = len(sent - images)
        stranger = bool(images) and lost == len(sent)
        if len(sent) < LEAST or stranger or lost < SHARE * len(sent):
            return None
        return Loss(len(sent), lost, witness)


def explain_loss(loss: Loss, topic: str, reliable: bool, compressed: bool) -> str:
    """What is lost and what helps, in one sentence for the log.

    Args:
        loss: see ``LossWatch.loss``.
        topic: full name of the image topic.
        reliable: how the node subscribes.   compressed: whether it reads compressed images.
    """
    remedies = []
    if not reliable:
        remedies.append("let the driver publish reliable")
    if not compressed:
        remedies.append("set image_transport to compressed")
    remedies.append(f"start the driver with more shared memory ({VARIABLE}={find_profile() or PROFILE})")
    remedies.append(f"between machines raise net.core.rmem_max{_present_rmem()}")
    return (
        f"{loss.lost} of {loss.sent} images on {topic} were lost on the way in the last {SPAN_S:g} s: their "
        f"{loss.witness} came, they did not. Large messages are lost packet by packet: {', or '.join(remedies)}"
    )


def _present_rmem(path: Path = _RMEM) -> str:
    try:
        return f" (now {int(path.read_text(encoding='ascii'))} bytes)"
    except (OSError, ValueError):
        return ""
