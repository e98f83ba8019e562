"""How curved the loss is around the start, and what steps along random directions it allows.

Descent by an estimate s z, where z (d,) is a random direction and s the slope along it, lowers a loss of gradient g and
Hessian H in the mean by lr |g|^2 - lr^2 (|g|^2 tr H + 2 g H g) / 2: lr = 1 / tr H is about the best and twice that
diverges, whatever the gradient (Nesterov & Spokoiny 2017, https://doi.org/10.1007/s10208-015-9296-2, where d times the
largest curvature stands for the trace). A step of fixed size a in each coordinate that points nowhere raises the loss
by a^2 tr H / 2. The trace is the mean of z H z (Hutchinson 1990, https://doi.org/10.1080/03610919008812866), for which
second differences stand; those over several distances, up to the size of the weights, since a network that is trained
well lies in a flat place between walls.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hybridopt.core.search import Search
from hybridopt.engine.buffers import LateBuffers
from hybridopt.engine.population import SeededPopulation
from hybridopt.toolbox.ranges import at_least

DISTANCES = (1.0, 1 / 4, 1 / 16, 1 / 64)  # in a coordinate, as shares of the weights' root mean square
UNKNOWN = 0.1  # stands for that where all weights are zero
MOST = 1 / 4  # of the budget's losses that the measurement may take; else there is none
STABLE = 0.5  # lr tr H at most
LONG = 2**22  # numbers of which a copy counts
RISE = 0.005  # the share of the loss by which a step of fixed size may raise it, were it to point nowhere


class Curvature(LateBuffers):
    """The trace of the loss's Hessian around a start, from a few losses on one batch, and the step sizes it allows.

    Args:
        probe: random directions, of eight losses each; 0 measures nothing, and allows any step size.

    Raises:
        ConfigError: there are fewer than none.
    """

    trace: Tensor  # a scalar: the largest over the distances; 0 where the loss is not curved upwards, or not measured
    loss: Tensor  # a scalar: at the start

    def __init__(self, probe: int):
        super().__init__()
        at_least("strategy", 0, probe=probe)
        self.probe = probe

    def start(self, x0: Tensor) -> None:
        """Nothing is known yet."""
        self.register_buffer("trace", x0.new_zeros(()))
        self.register_buffer("loss", x0.new_zeros(()))

    def ask(self, x0: Tensor, generator: torch.Generator, horizon: int) -> SeededPopulation | None:
        """Candidates to measure by: the start, and both sides of each direction at each distance.

        Args:
            x0: (d,), where the search starts.
            generator: draws the seeds of the directions, and is left as it was.
            horizon: how many losses the budget buys.

        Returns:
            1 + 8 · ``probe`` candidates; None where nothing is to be measured, or the budget is too small.
        """
        if self.probe == 0 or 1 + 2 * self.probe * len(DISTANCES) > MOST * horizon:
            return None
        drawn = generator.get_state()
        seeds = torch.randint(2**32, (self.probe,), generator=generator, device=generator.device).cpu()
        generator.set_state(drawn)  # what follows is drawn as if nothing had been measured
        size = root_mean_square(x0) or UNKNOWN
        scales = (size * torch.tensor(DISTANCES)).repeat_interleave(self.probe)
        many = seeds.repeat(2 * len(DISTANCES))
        return SeededPopulation(x0, torch.cat([seeds[:1], many]), torch.cat([torch.zeros(1), scales, -scales]))

    def tell(self, population: SeededPopulation, losses: Tensor) -> None:
        """Learn from the losses of the candidates; distances at which one is not finite do not count."""
        scales = population.scales[1:].to(losses).unflatten(0, (2, len(DISTANCES), self.probe))
        rises = losses[1:].view_as(scales) - losses[0]
        traces = (2 * rises / scales.square()).mean(dim=(0, 2))  # z H z = (L(x + a z) + L(x - a z) - 2 L(x)) / a^2
        known = traces[torch.isfinite(traces)]
        if len(known):
            self.trace.fill_(known.max().clamp(min=0))
            self.loss.fill_(losses[0])

    def rate(self, lr: float) -> float:
        """A learning rate of descent along random directions: lr, or what is stable."""
        trace = float(self.trace)
        return min(lr, STABLE / trace) if trace > 0 else lr

    def size(self, lr: float) -> float:
        """The size of a step in each coordinate, as Adam's learning rate is: lr, or what raises the loss by little."""
        trace = float(self.trace)
        return min(lr, (2 * RISE * abs(float(self.loss)) / trace) ** 0.5) if trace > 0 else lr


def root_mean_square(x: Tensor) -> float:
    """Of a vector, without a second one in memory where it is long."""
    return float(x.square().mean().sqrt()) if x.numel() <= LONG else float(torch.linalg.vector_norm(x)) / len(x) ** 0.5


class ProbedSearch(Search):
    """A search that measures the curvature where it starts, before its first generation, and bounds its steps by it.

    Attributes:
        curvature: begun in ``start``; its ``rate`` and ``size`` are the step sizes that are allowed.
    """

    curvature: Curvature

    def first_ask(self) -> SeededPopulation | None:
        return self.curvature.ask(self.recommend(), self.generator, self.horizon)

    def first_tell(self, population: SeededPopulation, losses: Tensor) -> None:
        self.curvature.tell(population, losses)
