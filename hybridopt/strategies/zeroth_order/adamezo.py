"""AdaMeZO, Adam's moments without their memory (Cai, Chen & Zhu 2026), https://arxiv.org/abs/2605.00650.

An estimate is a slope times a direction that a seed makes again, and a moving average is a sum of estimates; those of
the last h steps are enough, since older ones hardly count. So seeds and slopes are kept, and both moments are made
again from them, block by block, in each step. As Adam's correction of the bias does for few steps, weights are divided
by their sum over the window; the paper's sums are not, whose step is longer where h is below 1 / (1 - beta2).

The paper's claim against MeZO does not show at this scale: where a network 64-128-10 that Adam has trained on digits is
fine-tuned to blurred ones on batches of eight, both end at about the same test loss after as many losses
(``hybridopt-study run mezo_variants``). A coordinate of the second moment is (|g|^2 + 2 g_i^2) in the mean, which in
many dimensions hardly differs from coordinate to coordinate: it adapts the length of steps, not their shape.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor

from hybridopt.engine.population import SeededPopulation, noise_blocks
from hybridopt.toolbox.curvature import Curvature, ProbedSearch
from hybridopt.toolbox.ranges import at_least, positive, share
from hybridopt.toolbox.schedule import Decay, Schedule

TINY = 1e-12  # the paper's epsilon, added to v


class AdaMezo(ProbedSearch):
    """Adam along random directions, in the memory of the parameters: the noise of the last steps is drawn again.

    Good for fine-tuning whose coordinates differ in slope, where Adam's moments would not fit into memory.

    Args:
        window: h, steps whose estimates count; a step draws the noise of all of them.
        epsilon: the distance at which the losses are asked for, on both sides.
        lr: the size of a step in a coordinate at the start, of which ``probe`` takes less where the loss is curved.
        beta1: decay of the first moment.
        beta2: decay of the second moment.
        schedule: how the step size goes to ``final_lr`` times itself over the budget.
        final_lr: the last step size as a share of the first.
        probe: directions in which the loss's curvature is measured on the first batch; the step size is at most what
            that allows. 0 takes ``lr`` as it is.

    Raises:
        ConfigError: a number is out of range.
    """

    search_space: ClassVar[dict[str, str]] = {
        "lr": "tag(log, interval(5e-4, 0.05))",
        "window": "choice(5, 10, 20)",
    }
    in_place: ClassVar[bool] = True
    theta: Tensor  # (d,)
    seeds: Tensor  # (h,) of the last steps' directions, the newest first
    slopes: Tensor  # (h,) along them; 0 where there was no step yet

    def __init__(
        self,
        window: int = 10,
        epsilon: float = 1e-3,
        lr: float = 5e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        schedule: Schedule = "cosine",
        final_lr: float = 0.01,
        probe: int = 2,
    ):
        super().__init__()
        at_least("strategy", 1, window=window)
        positive("strategy", epsilon=epsilon, lr=lr)
        share("strategy", "[0, 1)", beta1=beta1, beta2=beta2)
        self.window, self.epsilon, self.lr, self.betas = window, epsilon, lr, (beta1, beta2)
        self.schedule, self.curvature = Decay(schedule, final_lr), Curvature(probe)

    def start(self, x0: Tensor) -> None:
        self.register_buffer("theta", x0)
        self.register_buffer("seeds", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("slopes", torch.zeros(0, dtype=torch.float64))
        self.curvature.start(x0)

    def ask(self) -> SeededPopulation:
        seed = torch.randint(2**32, (1,), generator=self.generator, device=self.generator.device).cpu()
        return SeededPopulation(self.theta, seed.repeat(2), torch.tensor([self.epsilon, -self.epsilon]))

    def tell(self, population: SeededPopulation, losses: Tensor) -> None:
        slope = (losses[:1] - losses[1:]).to(self.slopes) / (2 * self.epsilon)
        slope = torch.where(torch.isfinite(slope), slope, 0.0)
        self.seeds = torch.cat([population.seeds[:1].to(self.seeds), self.seeds])[: self.window]
        self.slopes = torch.cat([slope, self.slopes])[: self.window]
        rate = self.curvature.size(self.lr) * self.schedule(self.progress)
        for part, m, v in self.moments():
            self.theta[part] -= rate * m / (v + TINY).sqrt()

    def recommend(self) -> Tensor:
        return self.theta

    def moments(self) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """The first and the second moment over the window, block by block: (where, m, v)."""
        first, second = (self._weights(beta) for beta in self.betas)
        streams = [noise_blocks(seed, self.theta) for seed in self.seeds.tolist()]
        for noises in zip(*streams, strict=True):
            part = noises[0][0]
            m, v = torch.zeros_like(self.theta[part]), torch.zeros_like(self.theta[part])
            for (_, z), slope, a, b in zip(noises, self.slopes.tolist(), first, second, strict=True):
                m.add_(z, alpha=a * slope)
                v.addcmul_(z, z, value=b * slope**2)
            yield part, m, v

    def _weights(self, beta: float) -> list[float]:
        """beta^k, as shares of their sum, from the newest estimate on."""
        weights = [beta**k for k in range(len(self.seeds))]
        return [weight / sum(weights) for weight in weights]
