"""Diffusion times of Stage 0 and Stage I (rectified flow: x_t = (1 - sigma) data + sigma noise, time = 1000 sigma)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TRAIN_STEPS = 1000


def shift_time(sigma: np.ndarray, shift: float) -> np.ndarray:
    """Move times towards the noisy end: shift * s / (1 + (shift - 1) * s)."""
    return shift * sigma / (1.0 + (shift - 1.0) * sigma)


@dataclass(frozen=True)
class Schedule:
    """Times to evaluate the velocity at and the step to take there.

    Attributes:
        times: [steps] float64, 0 .. 1000.
        distances: [steps] float64; latent += distance * velocity.
        sigmas: [steps + 1] float64 noise level before each step and after the last.
    """

    times: np.ndarray
    distances: np.ndarray
    sigmas: np.ndarray

    @property
    def steps(self) -> int:
        """Number of evaluations."""
        return len(self.times)


def stage_one_schedule(steps: int, shift: float = 3.0) -> Schedule:
    """Stage I: evenly spaced between the ends of the shifted training times, shifted once more (as published)."""
    last = float(shift_time(np.array(1.0 / TRAIN_STEPS), shift))
    sigmas = shift_time(np.linspace(1.0, last, steps + 1), shift)
    return Schedule(sigmas[:-1] * TRAIN_STEPS, sigmas[:-1] - sigmas[1:], sigmas)


def stage_zero_schedule(steps: int, shift: float = 1.0) -> Schedule:
    """Stage 0: 1 - i / steps, shifted by the scheduler's ``shift``, ending at zero noise."""
    sigmas = shift_time(1.0 - np.arange(steps + 1) / steps, shift)
    return Schedule(sigmas[:-1] * TRAIN_STEPS, sigmas[:-1] - sigmas[1:], sigmas)
