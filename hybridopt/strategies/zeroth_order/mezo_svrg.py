"""MeZO-SVRG, variance-reduced zeroth-order descent (Gautam et al. 2024), https://arxiv.org/abs/2404.08080.

MeZO's estimate on a batch, less the same at an anchor (same direction, same batch),
plus the anchor's on many samples (SVRG: Johnson & Zhang 2013,
https://proceedings.neurips.cc/paper/2013/hash/ac1dd209cbcc5e5d1c6e28598e8cbbe8-Abstract.html): near the anchor the
noise of the batches cancels. The paper's anchor estimate is on the full training set. A strategy sees batches; here it
is a mean over ``anchor_batches`` of them, during which the weights stand still, or over one where that is the full set.
Kept besides the parameters are the anchor, a seed and a slope.

The paper's claim against MeZO does not hold at this scale: in linear regression on 16 noisy samples in batches of four,
with exact anchors, it ends no nearer to the lowest loss than ``mezo`` after as many losses
(``hybridopt-study run mezo_variants``). The noise of batches cancels; that of the anchor's one direction does not,
along which all steps of a period go.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from hybridopt.engine.population import SeededPopulation
from hybridopt.toolbox.curvature import Curvature, ProbedSearch
from hybridopt.toolbox.ranges import at_least, positive
from hybridopt.toolbox.schedule import Decay, Schedule


class MezoSVRG(ProbedSearch):
    """Descent along random directions, whose estimates on small batches are corrected by one on many samples.

    Good for fine-tuning on small batches whose losses differ much, at the cost of twice MeZO's losses a step.

    Args:
        period: q, steps from one anchor to the next.
        anchor_batches: batches that the anchor's estimate is a mean over.
        epsilon: the distance at which the losses are asked for, on both sides.
        lr: the step size of corrected steps at the start, of which ``probe`` takes less where the loss is curved.
        anchor_lr: the step size along the anchor's estimate, once each period, likewise.
        schedule: how the step sizes go to ``final_lr`` times themselves over the budget.
        final_lr: the last step size as a share of the first.
        probe: directions in which the loss's curvature is measured on the first batch; step sizes are at most what
            that allows. 0 takes them as they are.

    Raises:
        ConfigError: a number is out of range.
    """

    search_space: ClassVar[dict[str, str]] = {
        "period": "choice(2, 5, 10, 20)",
        "lr": "tag(log, interval(5e-4, 0.05))",
        "anchor_lr": "tag(log, interval(5e-4, 0.05))",
    }
    in_place: ClassVar[bool] = True
    theta: Tensor  # (d,)
    anchor: Tensor  # (d,), the weights that the last estimate on many samples is of
    seed: Tensor  # a whole number: of the direction of that estimate
    slope: Tensor  # a scalar: along it, so far the mean over as many batches as were seen
    t: Tensor  # a whole number, steps since the anchor was set
    _direction: int  # the seed of this step's direction
    _there: float  # the slope along it at the weights

    def __init__(
        self,
        period: int = 5,
        anchor_batches: int = 4,
        epsilon: float = 1e-3,
        lr: float = 5e-3,
        anchor_lr: float = 5e-3,
        schedule: Schedule = "cosine",
        final_lr: float = 0.01,
        probe: int = 2,
    ):
        super().__init__()
        at_least("strategy", 1, period=period, anchor_batches=anchor_batches)
        positive("strategy", epsilon=epsilon, lr=lr, anchor_lr=anchor_lr)
        self.period, self.anchor_batches, self.epsilon = period, anchor_batches, epsilon
        self.lr, self.anchor_lr, self.schedule = lr, anchor_lr, Decay(schedule, final_lr)
        self.curvature = Curvature(probe)

    def start(self, x0: Tensor) -> None:
        self.register_buffer("theta", x0)
        self.register_buffer("anchor", x0.clone())
        self.register_buffer("seed", self._drawn())
        self.register_buffer("slope", torch.zeros((), dtype=torch.float64))
        self.register_buffer("t", torch.zeros((), dtype=torch.int64))
        self.curvature.start(x0)

    @property
    def moves_per_step(self) -> int:
        """On one batch: at the anchor while it is set; later at the weights, and then at the anchor."""
        return 1 if self._anchoring else 2

    def ask(self) -> SeededPopulation:
        if self._anchoring:
            return self._pair(self.anchor, int(self.seed))
        if self.move == 0:
            self._direction = int(self._drawn())
        return self._pair(self.theta if self.move == 0 else self.anchor, self._direction)

    def tell(self, population: SeededPopulation, losses: Tensor) -> None:
        slope = self._slope(losses)
        if self._anchoring:
            self.slope += (slope - self.slope) / (int(self.t) + 1)
            if int(self.t) + 1 == self._batches:
                self._descend(self.anchor_lr, (int(self.seed), float(self.slope)))
        elif self.move == 0:
            self._there = slope
            return
        else:
            corrected = (self._direction, self._there - slope)
            self._descend(self.lr, corrected, (int(self.seed), float(self.slope)))
        self._go_on()

    def recommend(self) -> Tensor:
        return self.theta

    @property
    def _batches(self) -> int:
        return 1 if self.context.exact else self.anchor_batches

    @property
    def _anchoring(self) -> bool:
        return int(self.t) < self._batches

    def _go_on(self) -> None:
        """The next step and, after q of them with the anchor's own, the next anchor: where the weights are now."""
        self.t += 1
        if int(self.t) == self._batches + self.period - 1:
            self.anchor.copy_(self.theta)
            self.seed, self.slope, self.t = self._drawn(), torch.zeros_like(self.slope), torch.zeros_like(self.t)

    def _descend(self, lr: float, *terms: tuple[int, float]) -> None:
        """A step against a sum of slopes times directions, each given by (seed, slope)."""
        rate = self.curvature.rate(lr) * self.schedule(self.progress)
        seeds, weights = map(torch.tensor, zip(*terms, strict=True))
        for part, gradient in SeededPopulation(self.theta, seeds, weights).weighted_noise(weights):
            self.theta[part] -= rate * gradient

    def _pair(self, center: Tensor, seed: int) -> SeededPopulation:
        """Both sides along the direction of a seed."""
        return SeededPopulation(center, torch.tensor([seed, seed]), torch.tensor([self.epsilon, -self.epsilon]))

    def _slope(self, losses: Tensor) -> float:
        """(L(x + epsilon z) - L(x - epsilon z)) / 2 epsilon, or 0 where one of them failed."""
        slope = float(losses[0] - losses[1]) / (2 * self.epsilon)
        return slope if math.isfinite(slope) else 0.0

    def _drawn(self) -> Tensor:
        return torch.randint(2**32, (), generator=self.generator, device=self.generator.device).cpu()
