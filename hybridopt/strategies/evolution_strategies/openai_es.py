"""OpenAI-ES (Salimans, Ho, Chen, Sidor & Sutskever 2017), https://arxiv.org/abs/1703.03864.

A Gaussian of fixed width is moved along an estimate of the gradient of its mean loss; samples are mirrored and losses
replaced by centred ranks, as in the authors' code. Where that code adds L2 decay to the estimate, so does this one.
"""

from __future__ import annotations

from typing import ClassVar, Literal, cast

import torch
from torch import Tensor

from hybridopt.engine.population import SeededPopulation, table_size
from hybridopt.toolbox.curvature import Curvature, ProbedSearch
from hybridopt.toolbox.descent import AdamDescent, Shaping, shaped
from hybridopt.toolbox.noise_table import NoiseTable
from hybridopt.toolbox.ranges import at_least, even, positive
from hybridopt.toolbox.schedule import Decay, Schedule


class OpenAIES(ProbedSearch):
    """Evolution strategy with mirrored samples, centred ranks, and Adam on the estimated gradient.

    Good for losses without a gradient, of any network, on many processes: only losses travel.

    Args:
        popsize: losses per generation; even, since samples come in mirrored pairs.
        sigma: the standard deviation of the perturbations.
        lr: Adam's step size at the start, of which ``probe`` takes less where the loss is curved.
        schedule: how the step size goes to ``final_lr`` times itself over the budget.
        final_lr: the last step size as a share of the first.
        shaping: what stands for the losses in the estimate: their centred ranks in [-1/2, 1/2], or the losses
            themselves ("none"), whose estimate is unbiased for the gradient of the smoothed loss.
        noise: "dense" keeps all perturbations in memory; "seeded" keeps their seeds and makes them again for the
            update, in memory that does not grow with the population. For large populations they are windows of one
            table of noise, new in each generation, which is several times faster than drawing them. "table" is as
            "dense", but perturbations are windows of a table that is drawn once for the whole run, which costs next to
            nothing (:mod:`hybridopt.toolbox.noise_table`: what it does to the estimate).
        weight_decay: coefficient of the L2 penalty.
        probe: directions in which the loss's curvature is measured on the first batch; the step size is at most what
            that allows (:mod:`hybridopt.toolbox.curvature`). 0 takes ``lr`` as it is.

    Raises:
        ConfigError: the population is odd or empty, or a scale is not positive.
    """

    search_space: ClassVar[dict[str, str]] = {
        "sigma": "tag(log, interval(0.005, 0.5))",
        "lr": "tag(log, interval(0.002, 0.2))",
    }
    x: Tensor  # (d,)
    shaping: Shaping

    def __init__(
        self,
        popsize: int = 100,
        sigma: float = 0.05,
        lr: float = 0.02,
        schedule: Schedule = "cosine",
        final_lr: float = 0.05,
        shaping: Shaping = "centered_rank",
        noise: Literal["dense", "seeded", "table"] = "dense",
        weight_decay: float = 0.0,
        probe: int = 2,
    ):
        super().__init__()
        even("strategy", "samples come in mirrored pairs", popsize=popsize)
        positive("strategy", sigma=sigma, lr=lr)
        at_least("strategy", 0, weight_decay=weight_decay)
        self.popsize, self.sigma, self.lr = popsize, sigma, lr
        self.schedule = Decay(schedule, final_lr)
        self.shaping, self.noise, self.weight_decay = shaping, noise, weight_decay
        self.adam, self.curvature, self.table = AdamDescent(), Curvature(probe), NoiseTable()
        self._noise: Tensor | None = None
        self._members: Tensor | None = None

    def start(self, x0: Tensor) -> None:
        self.register_buffer("x", x0)
        self.adam.start(x0)
        self.curvature.start(x0)
        if self.noise == "table":
            self.table.start(self.generator)
        self._noise = self._members = None

    def ask(self) -> Tensor | SeededPopulation:
        return self._ask_seeded() if self.noise == "seeded" else self._ask_dense()

    def tell(self, population: Tensor | SeededPopulation, losses: Tensor) -> None:
        rate = self.curvature.size(self.lr) * self.schedule(self.progress)
        if isinstance(population, SeededPopulation):
            self._tell_seeded(population, losses, rate)
            return
        gradient = self.estimate(cast(Tensor, self._noise), losses) + self.weight_decay * self.x
        self.x += self.adam.step(gradient, rate)

    def recommend(self) -> Tensor:
        return self.x

    def estimate(self, noise: Tensor, losses: Tensor) -> Tensor:
        """The gradient estimate, sum_i (L(x + sigma e_i) - L(x - sigma e_i)) e_i / (2 m sigma) over m pairs.

        Args:
            noise: (m, d), the e_i.
            losses: (2m,), of the positive and then of the negative steps.

        Returns:
            (d,); with centred ranks the losses' scale is lost, and 1/sigma with it.
        """
        return self._weights(losses) @ noise

    def _weights(self, losses: Tensor) -> Tensor:
        """What each e_i counts in the estimate: losses (2m,) -> (m,)."""
        pairs = len(losses) // 2
        values = shaped(losses, self.shaping, self.sigma)
        return ((values[:pairs] - values[pairs:]) / (2 * pairs)).to(self.x)

    def _ask_dense(self) -> Tensor:
        half, d = self.popsize // 2, len(self.x)
        noise, members = self._noise, self._members
        if noise is None or members is None:  # memory that is new costs more than the noise in it
            noise, members = self.x.new_empty(half, d), self.x.new_empty(self.popsize, d)
            self._noise, self._members = noise, members
        if self.noise == "table":
            self.table.fill(noise, self.generator)
        else:
            noise.normal_(generator=self.generator)
        torch.add(self.x, noise, alpha=self.sigma, out=members[:half])
        torch.sub(self.x, noise, alpha=self.sigma, out=members[half:])
        return members

    def _ask_seeded(self) -> SeededPopulation:
        seeds = torch.randint(2**32, (self.popsize // 2,), generator=self.generator, device=self.generator.device)
        size = table_size(len(seeds), len(self.x))
        if size is not None:
            self._noise = self.x.new_empty(size) if self._noise is None else self._noise
            self._noise.normal_(generator=self.generator)
        scales = torch.full((len(seeds),), self.sigma)
        return SeededPopulation(self.x, seeds.cpu().repeat(2), torch.cat([scales, -scales]), self._noise)

    def _tell_seeded(self, population: SeededPopulation, losses: Tensor, rate: float) -> None:
        """The same step, block by block over the parameters: neither the noise nor the gradient is ever whole."""
        self.adam.begin()
        for part, gradient in population.weighted_noise(self._weights(losses)):
            gradient = gradient + self.weight_decay * self.x[part]
            self.x[part] += self.adam.part_of_step(part, gradient, rate)
