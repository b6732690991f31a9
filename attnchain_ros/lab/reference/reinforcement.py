"""Literal twin of ``backbone.reinforcement``: Eq. 5 on the dense attention matrix in float64."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def reinforce_output(
    q: Tensor, k: Tensor, v: Tensor, pairs: list[tuple[int, int, int, float]], frames: int, mode: str
) -> Tensor:
    """Attention output [H, S, D] with the anchor rows' traced entries strengthened.

    Args:
        q, k, v: [H, S, D], S = F (N + 1).
        pairs: (frame, anchor token, frame token, gain).
        frames: F; frame 0 is the anchor.
        mode: 'gain' (each frame's mass is kept), 'gain_row' (the row's is) or 'literal' (entries divided by the
            frame's mass).
    """
    heads, length, width = q.shape
    per_frame = length // frames
    output = torch.zeros(heads, length, width, dtype=torch.float64)
    for head in range(heads):
        matrix = torch.softmax(q[head].double() @ k[head].double().T / math.sqrt(width), dim=-1)
        changed = matrix.clone()
        for frame, token, other, gain in pairs:
            row, column = 1 + token, frame * per_frame + 1 + other
            block = slice(frame * per_frame, (frame + 1) * per_frame)
            changed[row, column] *= 1.0 / matrix[row, block].sum() if mode == "literal" else gain
        for row in range(length):
            if mode == "gain_row":
                changed[row] /= changed[row].sum()
            elif mode == "gain":
                for frame in range(frames):
                    block = slice(frame * per_frame, (frame + 1) * per_frame)
                    changed[row, block] *= matrix[row, block].sum() / changed[row, block].sum()
        output[head] = changed @ v[head].double()
    return output
