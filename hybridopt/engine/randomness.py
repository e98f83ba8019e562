"""Seeds from seeds, and torch's global generators tamed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor


def derived_seed(*parts: int) -> int:
    """A seed of 32 bits (torch's CPU generator takes no more) that is another for every other tuple of parts."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def normal(size: Sequence[int], like: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal numbers of a shape, drawn where the generator is, then of the device and dtype of ``like``."""
    return torch.randn(size, generator=generator, device=generator.device).to(like)


def uniform(size: Sequence[int], like: Tensor, generator: torch.Generator) -> Tensor:
    """Numbers in [0, 1), likewise."""
    return torch.rand(size, generator=generator, device=generator.device).to(like)


def shuffled(values: Tensor, generator: torch.Generator) -> Tensor:
    """The same values in the same shape, in another order."""
    order = torch.randperm(values.numel(), generator=generator, device=generator.device)
    return values.flatten()[order.to(values.device)].view_as(values)


class PrivateRng:
    """What modules such as dropout draw from torch's global generators, drawn from a stream of its own instead.

    Args:
        seed: fixes the stream.
        device: the device whose generator is swapped along with the CPU's.
    """

    def __init__(self, seed: int, device: torch.device):
        self.device = device
        self.states = [torch.Generator(kind).manual_seed(seed).get_state() for kind in self._kinds()]

    @contextmanager
    def active(self) -> Iterator[None]:
        """Inside, the global generators continue this stream; outside, they are as they were."""
        outside = self._get()
        self._set(self.states)
        try:
            yield
        finally:
            self.states = self._get()
            self._set(outside)

    def _kinds(self) -> list[torch.device]:
        return [torch.device("cpu"), *([self.device] if self.device.type == "cuda" else [])]

    def _get(self) -> list[torch.Tensor]:
        on_device = [torch.cuda.get_rng_state(kind) for kind in self._kinds()[1:]]
        return [torch.get_rng_state(), *on_device]

    def _set(self, states: list[torch.Tensor]) -> None:
        torch.set_rng_state(states[0])
        for kind, state in zip(self._kinds()[1:], states[1:], strict=True):
            torch.cuda.set_rng_state(state, kind)
