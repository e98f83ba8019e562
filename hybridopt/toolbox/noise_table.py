"""Standard normal vectors as windows of a long one that is drawn once, as in Salimans et al. 2017.

https://arxiv.org/abs/1703.03864. A window costs a fifteenth of what drawing its values does. What that does to an
estimate of a gradient g from windows e_i, sum_i (e_i g) e_i / m: over all tables its mean is g, as for vectors that are
drawn. For the table at hand it is C g, where C is the mean of e e^T over all windows. C is symmetric, and differs from
the identity by about 1 / sqrt(T) in each entry for a table of T values, so that C g is off by sqrt(d / T) of g's length
in a direction that stays the same for the whole run: by a sixth at most here. Over m windows an estimate's own error is
sqrt(d / m), which is larger up to as many losses as the table is long.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hybridopt.engine.buffers import LateBuffers

LEAST = 2**20  # values of a table
VECTORS = 32  # that fit into a table side by side, at least


class NoiseTable(LateBuffers):
    """A table that a generator's seed stands for in checkpoints."""

    seed: Tensor  # a whole number

    def __init__(self) -> None:
        super().__init__()
        self._values: Tensor | None = None

    def start(self, generator: torch.Generator) -> None:
        """Another table from here on."""
        self.register_buffer("seed", torch.randint(2**62, (), generator=generator, device=generator.device))
        self._values = None

    def fill(self, vectors: Tensor, generator: torch.Generator) -> None:
        """Make vectors (m, d) standard normal ones, at places of the table that the generator draws."""
        d, values = vectors.shape[1], self.values(vectors)
        places = torch.randint(len(values) - d + 1, (len(vectors),), generator=generator, device=generator.device)
        torch.index_select(values.unfold(0, d, 1), 0, places.to(values.device), out=vectors)

    def values(self, vectors: Tensor) -> Tensor:
        """The table for vectors (m, d) of this length, type and device."""
        size, known, seed = max(LEAST, VECTORS * vectors.shape[1]), self._values, int(self.seed)
        if known is None or self._made != (seed, size, vectors.dtype, vectors.device):
            generator = torch.Generator(vectors.device).manual_seed(seed)
            known = torch.randn(size, generator=generator, dtype=vectors.dtype, device=vectors.device)
            self._values, self._made = known, (seed, size, vectors.dtype, vectors.device)
        return known
