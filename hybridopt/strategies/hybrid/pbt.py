"""Population based training of neural networks (Jaderberg et al. 2017), https://arxiv.org/abs/1711.09846.

In the paper members train at their own pace and are compared by validation; here they step together, on the same
batches, and are compared by their training losses, so that no validation data are learned from. What is tuned is the
learning rate, which training losses can judge.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from hybridopt.core.handover import Handover
from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Record, Strategy
from hybridopt.engine.randomness import uniform
from hybridopt.errors import ConfigError
from hybridopt.toolbox.descent import AdamDescent, MomentumDescent
from hybridopt.toolbox.fitness import averaged
from hybridopt.toolbox.ranges import at_least, one_of, positive, share
from hybridopt.toolbox.starts import population_of_starts

PERTURBATIONS = (0.8, 1.2)  # what a learning rate is multiplied with, one or the other


class PBT(Strategy):
    """Train a population by gradient, each with learning rates of its own; the worst copy the best and vary the rates.

    Good for training whose best learning rate is not known, or changes on the way.

    Every ``ready`` steps each of the worst copies weights, learning rates and the state of the descent from a random
    one of the best (exploit), and changes its rates (explore): each is drawn again with probability ``resample``, or
    else multiplied by 0.8 or 1.2. Members are compared by their training losses before each step, averaged over about
    ``ready`` batches; the best by that is recommended. Gradients are those of populations: networks in evaluation mode,
    unless ``oracle.dropout`` or ``oracle.batch_statistics`` say otherwise.

    Args:
        popsize: members.
        ready: steps from one comparison to the next.
        truncation: the share that counts as the worst, and that which counts as the best.
        lr_low: the lowest of the learning rates at the start, which are drawn evenly over their logarithms.
        lr_high: the highest.
        rates: whether a member has one learning rate, or one for each parameter tensor.
        resample: the probability that a rate is drawn again when it is explored.
        descent: "adam", or "sgd" with momentum.
        momentum: of "sgd".
        weight_decay: coefficient of the L2 penalty whose slope is added to that of the loss.
        starts: "same" lets all members start where the network stands, "drawn" all but one from first weights of their
            own (:func:`hybridopt.toolbox.starts.redrawn`); members that the phase before hands over come first.
        exploit: whether the worst copy the best; else they only explore.
        explore: whether they change their learning rates.

    Raises:
        ConfigError: there is one member only, a number is out of range, or the rates of single tensors are wanted where
            an encoding stands between.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"gradient"})
    hands_over: ClassVar[frozenset[str]] = frozenset({"population"})
    takes: ClassVar[frozenset[str]] = frozenset({"population"})
    search_space: ClassVar[dict[str, str]] = {
        "ready": "tag(log, int(interval(5, 200)))",
        "truncation": "interval(0.1, 0.5)",
        "resample": "interval(0.0, 0.5)",
    }
    members: Tensor  # (n, d)
    learning_rates: Tensor  # (n, 1), or (n, tensors)
    averages: Tensor  # (n,), of the training losses; inf at first
    steps: Tensor  # a whole number, taken so far

    def __init__(
        self,
        popsize: int = 10,
        ready: int = 40,
        truncation: float = 0.2,
        lr_low: float = 1e-3,
        lr_high: float = 1e-2,
        rates: Literal["one", "per_tensor"] = "one",
        resample: float = 0.25,
        descent: Literal["adam", "sgd"] = "adam",
        momentum: float = 0.0,
        weight_decay: float = 1e-3,
        starts: Literal["same", "drawn"] = "drawn",
        exploit: bool = True,
        explore: bool = True,
    ):
        super().__init__()
        at_least("strategy", 2, popsize=popsize)
        at_least("strategy", 1, ready=ready)
        share("strategy", "(0, 1)", truncation=truncation)
        share("strategy", "[0, 1]", resample=resample)
        share("strategy", "[0, 1)", momentum=momentum)
        at_least("strategy", 0, weight_decay=weight_decay)
        positive("strategy", lr_low=lr_low, lr_high=lr_high)
        one_of("strategy", ("one", "per_tensor"), rates=rates)
        one_of("strategy", ("adam", "sgd"), descent=descent)
        one_of("strategy", ("same", "drawn"), starts=starts)
        if lr_high < lr_low:
            raise ConfigError(f"strategy.lr_high must be at least strategy.lr_low, {lr_low:g}, but is {lr_high:g}.")
        self.popsize, self.ready, self.resample, self.momentum = popsize, ready, resample, momentum
        self.cut = min(max(1, round(truncation * popsize)), popsize // 2)
        self.lr_low, self.lr_high, self.rates, self.starts = lr_low, lr_high, rates, starts
        self.weight_decay, self.exploit, self.explore = weight_decay, exploit, explore
        self.descent = AdamDescent() if descent == "adam" else MomentumDescent()

    @classmethod
    def controls(cls, settings: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        return {
            "without exploit": ("strategy.exploit=false",),
            "without explore": ("strategy.explore=false",),
            "without both": ("strategy.exploit=false", "strategy.explore=false"),
        }

    def attach(self, oracle: Oracle) -> None:
        if self.rates == "per_tensor" and oracle.shapes is None:
            raise ConfigError(
                "strategy.rates=per_tensor gives each parameter tensor a learning rate, and the encoding "
                f"{type(oracle.encoding).__name__} has none: choose strategy.rates=one or encoding=direct."
            )
        shapes = oracle.shapes if self.rates == "per_tensor" else None
        self._sizes = None if shapes is None else [shape.numel() for shape in shapes.values()]

    def begin(self, oracle: Oracle, batch: Batch) -> None:
        members = population_of_starts(oracle, self.popsize, drawn=self.starts == "drawn")
        rates = self._drawn_rates((self.popsize, len(self._sizes or [1])), members, oracle.generator)
        self.register_buffer("members", members)
        self.register_buffer("learning_rates", rates)
        self.register_buffer("averages", members.new_full((self.popsize,), torch.inf))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.descent.start(members)

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        losses, slopes = oracle.gradients(self.members, batch)
        self.averages = averaged(self.averages, losses, 1 / self.ready)
        self.members = self.members + self._update(slopes.add(self.members, alpha=self.weight_decay))
        self.steps += 1
        if int(self.steps) % self.ready == 0:
            self._select(oracle.generator)
        return {"loss": losses.min(), "lr": self.learning_rates[self._best].mean()}

    def recommend(self) -> Tensor:
        return self.members[self._best]

    def handover(self) -> Handover:
        return Handover(population=self.members.clone())

    @property
    def _best(self) -> Tensor:
        return self.averages.argsort(stable=True)[0]

    def _update(self, slopes: Tensor) -> Tensor:
        """What to add to the members (n, d)."""
        rates = self.learning_rates
        if self._sizes is not None:
            rates = rates.repeat_interleave(torch.tensor(self._sizes, device=rates.device), dim=1)
        if isinstance(self.descent, MomentumDescent):
            return self.descent.step(slopes, rates, self.momentum)
        return self.descent.step(slopes, rates)

    def _select(self, generator: torch.Generator) -> None:
        """Exploit and explore: of the worst, all others stay as they are."""
        order = self.averages.argsort(stable=True)
        best, worst = order[: self.cut], order[-self.cut :]
        if self.exploit:
            chosen = torch.randint(self.cut, (self.cut,), generator=generator, device=generator.device)
            source = torch.arange(self.popsize, device=order.device)
            source[worst] = best[chosen.to(order.device)]
            self.members, self.averages = self.members[source], self.averages[source]
            self.learning_rates = self.learning_rates[source]
            self.descent.select(source)
        if self.explore:
            self.learning_rates[worst] = self._explored(self.learning_rates[worst], generator)

    def _explored(self, rates: Tensor, generator: torch.Generator) -> Tensor:
        """Learning rates in the shape of those given: perturbed, or drawn again."""
        lower, higher = PERTURBATIONS
        perturbed = rates * torch.where(uniform(rates.shape, rates, generator) < 0.5, lower, higher)
        again = uniform(rates.shape, rates, generator) < self.resample
        return torch.where(again, self._drawn_rates(rates.shape, rates, generator), perturbed)

    def _drawn_rates(self, shape: tuple[int, ...], like: Tensor, generator: torch.Generator) -> Tensor:
        low, high = math.log(self.lr_low), math.log(self.lr_high)
        return (low + (high - low) * uniform(shape, like, generator)).exp()
