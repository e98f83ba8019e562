"""MeZO, memory-efficient zeroth-order descent (Malladi et al. 2023), https://arxiv.org/abs/2305.17333.

Simultaneous perturbation (SPSA: Spall 1992, https://doi.org/10.1109/9.119632) whose direction is kept as a seed. The
authors perturb the weights in place and undo it by subtraction, which leaves rounding errors behind; here they stay
what they are, and each operation of the network is given a perturbed copy of what it takes. A network of 64 MB or more
is so in memory once (smaller ones are evaluated several at a time, in up to 128 MB): fine-tuning takes what inference
takes, and a copy of the weights of the largest operation (``hybridopt-study run fine_tuning_memory`` measures it). A
small transformer that Adam has trained is fine-tuned to the accuracy that Adam reaches, in 16 times the forwards
(``hybridopt-study run fine_tuning_by_mezo``). Networks are evaluated in evaluation mode, as theirs.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from hybridopt.engine.population import SeededPopulation
from hybridopt.toolbox.curvature import Curvature, ProbedSearch
from hybridopt.toolbox.descent import AdamDescent
from hybridopt.toolbox.ranges import at_least, one_of, positive, share
from hybridopt.toolbox.schedule import Decay, Schedule


class Mezo(ProbedSearch):
    """Descent along random directions: two losses a direction, and the memory of inference.

    Good for large networks that fit into memory once and no more, above all to fine-tune them.

    Args:
        samples: directions per step, each of two losses (the paper's n-SPSA).
        epsilon: the distance at which the losses are asked for, on both sides.
        lr: the step size at the start, of which ``probe`` takes less where the loss is curved.
        schedule: how the step size goes to ``final_lr`` times itself over the budget.
        final_lr: the last step size as a share of the first.
        weight_decay: coefficient of the L2 penalty.
        descent: "sgd", the paper's; "momentum" and "adam" take one and two more copies of the parameters.
        momentum: the coefficient of "momentum".
        probe: directions in which the loss's curvature is measured on the first batch; the step size is at most what
            that allows (:mod:`hybridopt.toolbox.curvature`). 0 takes ``lr`` as it is.

    Raises:
        ConfigError: a number is out of range.
    """

    search_space: ClassVar[dict[str, str]] = {
        "epsilon": "tag(log, interval(1e-4, 0.01))",
        "lr": "tag(log, interval(5e-4, 0.05))",
    }
    in_place: ClassVar[bool] = True
    theta: Tensor  # (d,)
    velocity: Tensor  # (d,), with momentum

    def __init__(
        self,
        samples: int = 1,
        epsilon: float = 1e-3,
        lr: float = 5e-3,
        schedule: Schedule = "cosine",
        final_lr: float = 0.01,
        weight_decay: float = 0.0,
        descent: Literal["sgd", "momentum", "adam"] = "sgd",
        momentum: float = 0.9,
        probe: int = 2,
    ):
        super().__init__()
        at_least("strategy", 1, samples=samples)
        at_least("strategy", 0, weight_decay=weight_decay)
        positive("strategy", epsilon=epsilon, lr=lr)
        one_of("strategy", ("sgd", "momentum", "adam"), descent=descent)
        share("strategy", "[0, 1)", momentum=momentum)
        self.samples, self.epsilon, self.lr = samples, epsilon, lr
        self.schedule, self.weight_decay = Decay(schedule, final_lr), weight_decay
        self.descent, self.momentum = descent, momentum
        self.adam = AdamDescent() if descent == "adam" else None
        self.curvature = Curvature(probe)
        self._scales = torch.tensor([epsilon] * samples + [-epsilon] * samples)

    def start(self, x0: Tensor) -> None:
        self.register_buffer("theta", x0)
        self.curvature.start(x0)
        if self.adam is not None:
            self.adam.start(x0)
        if self.descent == "momentum":
            self.register_buffer("velocity", torch.zeros_like(x0))

    def ask(self) -> SeededPopulation:
        seeds = torch.randint(2**32, (self.samples,), generator=self.generator, device=self.generator.device).cpu()
        return SeededPopulation(self.theta, torch.cat([seeds, seeds]), self._scales)

    def tell(self, population: SeededPopulation, losses: Tensor) -> None:
        slopes = self.slopes(losses)
        rate = self._first_rate() * self.schedule(self.progress)
        if self.weight_decay:
            self.theta.mul_(1 - rate * self.weight_decay)
        if self.adam is not None:
            self.adam.begin()
        for part, gradient in population.weighted_noise(slopes / self.samples if self.samples > 1 else slopes):
            self.theta[part].add_(self._part_of_step(part, gradient, rate))

    def recommend(self) -> Tensor:
        return self.theta

    def _first_rate(self) -> float:
        """``lr``, or what the curvature allows; momentum adds up to 1 / (1 - momentum) times as much."""
        if self.descent == "adam":
            return self.curvature.size(self.lr)
        share = 1 - self.momentum if self.descent == "momentum" else 1.0
        return self.curvature.rate(self.lr / share) * share

    def _part_of_step(self, part: slice, gradient: Tensor, rate: float) -> Tensor:
        if self.adam is not None:
            return self.adam.part_of_step(part, gradient, rate)
        if self.descent == "momentum":
            gradient = self.velocity[part].mul_(self.momentum).add_(gradient)
        return gradient.mul(-rate)

    def slopes(self, losses: Tensor) -> Tensor:
        """(L(theta + epsilon z) - L(theta - epsilon z)) / 2 epsilon, or 0 where one of them failed. (2k,) -> (k,)."""
        above, below = losses.chunk(2)
        slopes = (above - below) / (2 * self.epsilon)
        return slopes.nan_to_num(0.0, 0.0, 0.0)
