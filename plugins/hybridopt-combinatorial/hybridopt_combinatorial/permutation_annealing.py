"""Simulated annealing over permutations (Kirkpatrick, Gelatt & Vecchi 1983), https://doi.org/10.1126/science.220.4598.671.

Their example is the travelling salesman, with the moves of Lin (1965, 2-opt, https://doi.org/10.1002/j.1538-7305.1965.tb04146.x)
and Or (1976, or-opt). Insertion is the usual move on flow shops (Osman & Potts 1989,
https://doi.org/10.1016/0305-0483(89)90059-5).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from hybridopt import ConfigError, Search
from hybridopt.toolbox import ranges
from hybridopt.toolbox.annealing import initial_temperature

SEGMENT = 3  # the most places that or-opt moves at once
WASTE = 0.25  # neighbours asked for at a time, by those expected until one is accepted: an eighth of them goes unused
MEMORY = 0.95  # of the acceptance rate, per ask


class PermutationAnnealing(Search):
    """Simulated annealing by moves on a permutation: 2-opt, or-opt, insertion, swap.

    It works on the keys of model=solution, whose order is the permutation, and asks for several neighbours of the
    current one at a time. They are looked at in order, by the Metropolis rule, until one is accepted; those after it
    are neighbours of a permutation that is left behind, paid for and unused. So this is the sequential algorithm, and
    it asks for more at a time as fewer are accepted. It cools from step to step, geometrically over the budget.

    On a new batch the current and the best permutation are evaluated again, and charged. The best one is recommended.

    Args:
        moves: what neighbours are, drawn again for each ask: "two_opt" turns a part around, "or_opt" takes up to three
            in a row elsewhere, either way around, "insertion" takes one elsewhere, "swap" exchanges two. The first two
            suit tours, the last two schedules.
        temperature: at the start, in units of the loss; None measures it: a rise of the median size is accepted with
            probability 1/2.
        temperature_decay: the temperature at the end of the budget, relative to the start.
        probes: how many neighbours set the initial temperature.
        popsize: the most neighbours asked for at a time.
        moves_per_step: how often neighbours are asked for on one batch.

    Raises:
        ConfigError: a setting is out of range, or the model's parameters are not the keys of a permutation.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"losses", "direct"})
    conformance: ClassVar[dict[str, Any]] = {
        "problem": {
            "dataset": {"name": "tsp", "cities": 12},
            "model": {"name": "solution"},
            "objective": {"name": "tour_length"},
        },
        "settings": [{"moves": ["insertion", "swap"]}, {"temperature": 0.5}],
        "expected_failures": dict.fromkeys(
            ("improves_on_sphere", "improves_on_noisy_quadratic", "dimension_of_one"),
            "it moves permutations, and refuses a network's weights in a sentence",
        ),
    }

    def __init__(
        self,
        moves: list[str] = ["two_opt", "or_opt", "insertion"],
        temperature: float | None = None,
        temperature_decay: float = 1e-3,
        probes: int = 50,
        popsize: int = 32,
        moves_per_step: int = 200,
    ):
        super().__init__()
        ranges.each_of("strategy", MOVES, moves=moves)
        ranges.positive("strategy", temperature=temperature, temperature_decay=temperature_decay)
        ranges.at_least("strategy", 1, probes=probes, popsize=popsize, moves_per_step=moves_per_step)
        self.moves = list(moves)
        self.temperature = temperature
        self.temperature_decay = temperature_decay
        self.probes = probes
        self.popsize = popsize
        self.moves_per_step = moves_per_step

    def start(self, x0: Tensor) -> None:
        self._refuse_other_models()
        size = x0.abs().max()
        levels = torch.linspace(-1, 1, len(x0), device=x0.device, dtype=x0.dtype) * torch.where(size > 0, size, 1)
        self.register_buffer("levels", levels)  # the keys that are dealt to the places of a permutation
        self.register_buffer("current", x0.argsort(stable=True))
        self.register_buffer("best", self.current.clone())
        self.register_buffer("loss", x0.new_tensor(math.inf))
        self.register_buffer("best_loss", x0.new_tensor(math.inf))
        self.register_buffer("T0", x0.new_tensor(self.temperature or 0.0))
        self.register_buffer("acceptance", x0.new_tensor(1.0))

    def first_ask(self) -> Tensor | None:
        """The current permutation and its neighbours, of which at most a tenth of the budget."""
        if self.temperature is not None:
            return None
        neighbours = self._neighbours(max(1, min(self.probes, self.horizon // 10 - 2)))
        return self._keys(torch.cat([self.current[None], neighbours]))

    def first_tell(self, population: Tensor, losses: Tensor) -> None:
        self.T0 = initial_temperature(losses[1:] - losses[0])

    def ask(self) -> Tensor:
        self._asked = self._neighbours(self._count())
        if self.fresh:
            incumbents = torch.stack([self.current, self.best])  # evaluated again on the new batch
            self._asked = torch.cat([incumbents, self._asked])
        return self._keys(self._asked)

    def tell(self, population: Tensor, losses: Tensor) -> None:
        candidates = self._asked
        if self.fresh:
            self.loss, self.best_loss = losses[0], losses[1]
            candidates, losses = candidates[2:], losses[2:]
        self._walk(candidates, losses)

    def recommend(self) -> Tensor:
        return self._keys(self.best[None])[0]

    def _refuse_other_models(self) -> None:
        if list(self.shapes) != ["keys"]:
            raise ConfigError(
                "strategy=permutation_annealing moves permutations, and needs model=solution on a problem of them, "
                f"such as dataset=tsp or dataset=flow_shop, but the model's parameters are {', '.join(self.shapes)}: "
                "choose another strategy, such as strategy=simulated_annealing."
            )

    def _count(self) -> int:
        """How many neighbours are worth asking for."""
        return max(1, min(self.popsize, int(WASTE / float(self.acceptance))))

    def _neighbours(self, count: int) -> Tensor:
        """Permutations (count, n) one move away."""
        n, device = len(self.current), self.generator.device
        kind = self.moves[int(torch.randint(len(self.moves), (), generator=self.generator, device=device))]
        draws = torch.rand((4, count, 1), generator=self.generator, device=device).to(self.current.device)
        places = torch.arange(n, device=self.current.device)
        return self.current[MOVES[kind](draws, places)]

    def _keys(self, permutations: Tensor) -> Tensor:
        """Permutations (count, n) -> keys (count, n) whose order they are."""
        return torch.empty_like(permutations, dtype=self.levels.dtype).scatter_(
            1, permutations, self.levels.expand(permutations.shape)
        )

    def _walk(self, candidates: Tensor, losses: Tensor) -> None:
        """The Metropolis rule, one candidate after the other, up to the first that is accepted."""
        T = self.T0 * self.temperature_decay**self.progress
        u = torch.rand(len(losses), generator=self.generator, device=self.generator.device).to(losses)
        rise = losses - self.loss
        accepted = ((rise <= 0) | (u < torch.exp(-rise / T))).nonzero()
        seen = int(accepted[0]) + 1 if len(accepted) else len(losses)
        rate = float(len(accepted) > 0) / seen
        self.acceptance = (MEMORY * self.acceptance + (1 - MEMORY) * rate).clamp(min=1e-4)
        if len(accepted):
            self.current, self.loss = candidates[seen - 1], losses[seen - 1]
        if self.loss < self.best_loss:
            self.best, self.best_loss = self.current, self.loss


# -- moves: draws (4, count, 1) from [0, 1) and places (n,) -> whose element comes to each place, (count, n) ----------


def two_opt(draws: Tensor, places: Tensor) -> Tensor:
    """A part is turned around: of a tour, two legs are exchanged for two others."""
    n = len(places)
    i, j = pair(draws, n)
    first, last = torch.minimum(i, j), torch.maximum(i, j)
    return torch.where((first <= places) & (places <= last), first + last - places, places)


def or_opt(draws: Tensor, places: Tensor) -> Tensor:
    """One to three in a row come elsewhere, one time in two the other way around."""
    n = len(places)
    length = 1 + (draws[2] * min(SEGMENT, max(1, n - 1))).long()
    return moved(draws, places, length, turned=draws[3] < 0.5)


def insertion(draws: Tensor, places: Tensor) -> Tensor:
    """One comes elsewhere, and those in between move up."""
    return moved(draws, places, torch.ones_like(draws[2], dtype=torch.long), turned=torch.zeros_like(draws[3]) > 0)


def swap(draws: Tensor, places: Tensor) -> Tensor:
    """Two change places."""
    i, j = pair(draws, len(places))
    return torch.where(places == i, j, torch.where(places == j, i, places))


def pair(draws: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Two different places (count, 1); the same one where there is no other."""
    i = (draws[0] * n).long()
    j = (i + 1 + (draws[1] * (n - 1)).long()) % n
    return i, j


def moved(draws: Tensor, places: Tensor, length: Tensor, turned: Tensor) -> Tensor:
    """A segment is taken out and put back elsewhere."""
    n = len(places)
    start = (draws[0] * (n - length + 1)).long()  # of the segment
    gaps = n - length  # besides the one that it came from
    target = (start + 1 + (draws[1] * gaps).long()) % (gaps + 1)
    inside = (target <= places) & (places < target + length)
    within = torch.where(turned, target + length - 1 - places, places - target)
    rest = torch.where(places < target, places, places - length)  # place among those that stay
    return torch.where(inside, start + within, torch.where(rest < start, rest, rest + length))


MOVES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "two_opt": two_opt,
    "or_opt": or_opt,
    "insertion": insertion,
    "swap": swap,
}
