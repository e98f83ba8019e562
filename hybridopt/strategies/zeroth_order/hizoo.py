"""HiZOO, Hessian-informed zeroth-order descent (Zhao et al. 2024), https://arxiv.org/abs/2402.15173.

Directions are Sigma^(1/2) u, where Sigma is diagonal, and a third loss, at the weights themselves, tells the curvature
along them. A coordinate of (L+ + L- - 2 L) u^2 / 2 epsilon^2 · Sigma^-1 is (tr(Sigma H) / 2 + Sigma_i H_i) / Sigma_i in
the mean, and Sigma^-1 is a moving average of its absolute value. On a convex quadratic with a diagonal Hessian H that
comes to rest where all Sigma_i H_i are 2 / (d + 2), at Sigma^-1 = (d + 2) H / 2. With the term -Sigma^-1 of the paper's
unbiased estimate, the average of absolute values is no estimate of H either; it is left away here.

The paper begins with Sigma = I, and leaves the scale to lr. Here all coordinates begin with 2 / tr H, where they would
rest if all curvatures were alike: lr then is the same for all networks, and epsilon^2 the rise in loss by a
perturbation. A step goes no further than to the lowest point of the parabola through its three losses.

On a quadratic of condition 1000 in 20 dimensions it ends many orders of magnitude below MeZO after as many losses, and
below it in least squares with 39 weights, on features of scales from 0.1 to 10, both at their best step size
(``hybridopt-study run mezo_variants``).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from hybridopt.engine.population import SeededPopulation
from hybridopt.toolbox.curvature import Curvature, ProbedSearch
from hybridopt.toolbox.ranges import positive, share
from hybridopt.toolbox.schedule import Decay, Schedule

TINY = 1e-30


class HiZOO(ProbedSearch):
    """Descent along random directions that are long where the loss is flat: three losses a step, one more vector kept.

    Good for some dozens of parameters of unequal curvature; the more there are, the slower it learns their curvatures.

    Args:
        epsilon: the distance at which the losses are asked for, on both sides, in units of Sigma^(1/2).
        lr: the step size at the start; at 1/2 a step goes to the lowest point along its direction, in the mean.
        smoothing: alpha, the share of the newest estimate in the moving average of curvatures.
        schedule: how the step size goes to ``final_lr`` times itself over the budget.
        final_lr: the last step size as a share of the first.
        probe: directions in which the first curvature is measured on the first batch; 0 begins with ones.

    Raises:
        ConfigError: a number is out of range.
    """

    search_space: ClassVar[dict[str, str]] = {
        "lr": "tag(log, interval(0.02, 1.0))",
        "smoothing": "tag(log, interval(1e-5, 1e-2))",
    }
    in_place: ClassVar[bool] = True
    theta: Tensor  # (d,)
    curvatures: Tensor  # (d,), the diagonal of Sigma^-1

    def __init__(
        self,
        epsilon: float = 0.03,
        lr: float = 0.25,
        smoothing: float = 1e-3,
        schedule: Schedule = "cosine",
        final_lr: float = 0.01,
        probe: int = 2,
    ):
        super().__init__()
        positive("strategy", epsilon=epsilon, lr=lr)
        share("strategy", "[0, 1)", smoothing=smoothing)
        self.epsilon, self.lr, self.smoothing = epsilon, lr, smoothing
        self.schedule, self.curvature = Decay(schedule, final_lr), Curvature(probe)

    def start(self, x0: Tensor) -> None:
        self.register_buffer("theta", x0)
        self.register_buffer("curvatures", torch.ones_like(x0))
        self.curvature.start(x0)

    def first_tell(self, population: SeededPopulation, losses: Tensor) -> None:
        super().first_tell(population, losses)
        if float(self.curvature.trace) > 0:
            self.curvatures.fill_(float(self.curvature.trace) / 2)

    def ask(self) -> SeededPopulation:
        seed = torch.randint(2**32, (1,), generator=self.generator, device=self.generator.device).cpu()
        scales = torch.tensor([self.epsilon, -self.epsilon, 0.0])
        return SeededPopulation(self.theta, seed.repeat(3), scales, widths=self.curvatures.rsqrt())

    def tell(self, population: SeededPopulation, losses: Tensor) -> None:
        if not bool(torch.isfinite(losses).all()):
            return
        above, below, here = losses.tolist()
        slope, bend = (above - below) / (2 * self.epsilon), abs(above + below - 2 * here) / (2 * self.epsilon**2)
        rate = min(self.lr * self.schedule(self.progress), 0.5 / max(bend, TINY))
        for part, u in population.weighted_noise(torch.ones(1)):
            self.theta[part] -= rate * slope * self.curvatures[part].rsqrt() * u
            newest = bend * u.square() * self.curvatures[part]  # |diag(Sigma'_t)|
            self.curvatures[part] = self.curvatures[part].lerp(newest, self.smoothing)

    def recommend(self) -> Tensor:
        return self.theta
