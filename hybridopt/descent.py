"""Descent along an estimated gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from hybridopt.state import LateBuffers


class AdamDescent(LateBuffers):
    """Adam (Kingma & Ba 2015, https://arxiv.org/abs/1412.6980) on a vector whose gradient somebody else estimates.

    Args:
        betas: decay of the first and the second moment.
        epsilon: added to the denominator.
    """

    def __init__(self, betas: tuple[float, float] = (0.9, 0.999), epsilon: float = 1e-8):
        super().__init__()
        self.betas, self.epsilon = betas, epsilon

    def start(self, x: Tensor) -> None:
        """Zero moments in the shape of x."""
        self.register_buffer("m", torch.zeros_like(x))
        self.register_buffer("v", torch.zeros_like(x))
        self.register_buffer("t", torch.zeros((), dtype=torch.int64))

    def step(self, gradient: Tensor, learning_rate: float) -> Tensor:
        """The vector to add to x.

        Args:
            gradient: an estimate of the loss's gradient, in the shape of x.
            learning_rate: the step size now.
        """
        beta1, beta2 = self.betas
        self.t += 1
        t = int(self.t)
        self.m.lerp_(gradient, 1 - beta1)
        self.v.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        denominator = (self.v / (1 - beta2**t)).sqrt_().add_(self.epsilon)
        return -learning_rate / (1 - beta1**t) * self.m / denominator
