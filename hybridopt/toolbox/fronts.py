"""Fronts: which of several readings are dominated, and which one to choose of those that are not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Literal, get_args

import torch
from torch import Tensor

from hybridopt.errors import ConfigError, options
from hybridopt.toolbox.ranges import one_of, share

Rule = Literal["knee", "weights", "lexicographic"]
RULES: tuple[Rule, ...] = get_args(Rule)
ROWS = 2**22  # comparisons that are made at a time
FINE = 20  # points of a lattice for each that is taken


def nondominated(readings: Tensor) -> Tensor:
    """Which members no other one dominates: is as good by each objective, and better by one.

    Args:
        readings: (n, k), lower is better; a member with one that is not finite is dominated, unless all are so.

    Returns:
        Boolean (n,).
    """
    fine = torch.isfinite(readings).all(dim=1)
    known = torch.where(fine[:, None], readings, torch.inf) if fine.any() else readings.nan_to_num(torch.inf)
    dominated = torch.zeros(len(known), dtype=torch.bool, device=known.device)
    for part in torch.arange(len(known), device=known.device).split(max(1, ROWS // max(1, known.numel()))):
        own = known[part][:, None]  # (rows, 1, k) against (n, k)
        dominated[part] = ((known <= own).all(dim=2) & (known < own).any(dim=2)).any(dim=1)
    return ~dominated


def distinct(readings: Tensor) -> Tensor:
    """The first of each group of equal rows (n, k), as a boolean (n,)."""
    first = torch.ones(len(readings), dtype=torch.bool, device=readings.device)
    _, group = torch.unique(readings, dim=0, return_inverse=True)
    order = group.argsort(stable=True)
    first[order[1:]] = group[order[1:]] != group[order[:-1]]
    return first


def best(readings: Tensor) -> Tensor:
    """The places (m,) of those in (n, k) that no other one dominates, one for each reading."""
    places = nondominated(readings).nonzero()[:, 0]
    return places[distinct(readings[places])]


def spread(count: int, objectives: int) -> Tensor:
    """Weights of objectives, spread evenly: the corners first where there are three or more.

    Those of two objectives are at equal distances; of more, each is the point of a fine lattice (Das & Dennis 1998,
    https://doi.org/10.1137/S1052623496307510) that is farthest from those before it.

    Args:
        count: n.
        objectives: k.

    Returns:
        (n, k) in float64, at least 0, of which each row adds up to 1.
    """
    if count == 1 or objectives == 1:
        return torch.full((count, objectives), 1 / objectives, dtype=torch.float64)
    if objectives == 2:
        first = torch.linspace(1, 0, count, dtype=torch.float64)
        return torch.stack([first, 1 - first], dim=1)
    points = torch.cat([torch.eye(objectives, dtype=torch.float64), _lattice(FINE * count, objectives)])
    chosen, nearest = [0], (points - points[0]).norm(dim=1)
    while len(chosen) < count:
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (points - points[chosen[-1]]).norm(dim=1))
    return points[chosen]


def _lattice(least: int, objectives: int) -> Tensor:
    """The coarsest lattice of weights that has so many points at least."""
    steps = 1
    while math.comb(steps + objectives - 1, objectives - 1) < least:
        steps += 1
    bars = torch.tensor([*combinations(range(steps + objectives - 1), objectives - 1)])
    ends = torch.cat([torch.full((len(bars), 1), -1), bars, torch.full((len(bars), 1), steps + objectives - 1)], dim=1)
    return (ends.diff(dim=1) - 1).double() / steps


def normalised(readings: Tensor) -> Tensor:
    """Readings (m, k) from 0, the best of each objective, to 1, the worst; 0 where all are the same."""
    low, high = readings.amin(dim=0), readings.amax(dim=0)
    spread = high - low
    return torch.where(spread > 0, (readings - low) / torch.where(spread > 0, spread, 1.0), 0.0)


class Choice:
    """Which member of a front is recommended.

    Args:
        rule: "knee" takes the member that is farthest on the good side of the plane through the ends of the front (Das
            1999, https://doi.org/10.1007/s001580050111), all objectives scaled to the range of the front; "weights" the
            lowest sum of scaled objectives with these weights; "lexicographic" the lowest of the first objective, of
            those that are as good the lowest of the second one, and so on.
        weights: by the name of an objective, for the rule "weights"; 0 where none is given.
        tolerance: for "lexicographic": what counts as equally good, as a share of an objective's range in the front.

    Raises:
        ConfigError: there is no such rule, or weights without their rule.
    """

    def __init__(self, rule: Rule = "knee", weights: Mapping[str, float] = {}, tolerance: float = 0.0):
        one_of("strategy", RULES, choice=rule)
        share("strategy", "[0, 1]", tolerance=tolerance)
        if bool(weights) != (rule == "weights"):
            raise ConfigError(
                f"strategy.weights belong to strategy.choice=weights, which is {rule}, and has the weights "
                f"{dict(weights)}: set both, or neither."
            )
        negative = next((name for name, weight in weights.items() if not weight >= 0), None)
        if negative is not None:
            raise ConfigError(f"strategy.weights.{negative} must be at least 0, but is {weights[negative]}.")
        self.rule, self.weights, self.tolerance = rule, weights, tolerance

    def check(self, names: Sequence[str]) -> None:
        """Refuse weights of what is none of the objectives.

        Raises:
            ConfigError: there is one.
        """
        odd = next((name for name in self.weights if name not in names), None)
        if odd is not None:
            raise ConfigError(f"strategy.weights.{odd} is none of the objectives.{options(names, odd)}")

    def of(self, readings: Tensor, names: Sequence[str]) -> int:
        """The place of the chosen one.

        Args:
            readings: (m, k) of a front.
            names: of the objectives.
        """
        fine = torch.isfinite(readings).all(dim=1)
        places = fine.nonzero()[:, 0] if fine.any() else torch.arange(len(readings), device=readings.device)
        scaled = normalised(readings[places].double().nan_to_num(0.0, 0.0, 0.0))
        if self.rule == "lexicographic":
            return int(places[self._lexicographic(scaled)])
        weights = scaled.new_tensor([self.weights.get(name, 0.0) if self.weights else 1.0 for name in names])
        return int(places[(scaled @ weights).argmin()])

    def _lexicographic(self, scaled: Tensor) -> int:
        left = torch.arange(len(scaled), device=scaled.device)
        for column in scaled.T[:-1]:
            left = left[column[left] <= column[left].min() + self.tolerance]
        return int(left[scaled[left, -1].argmin()])
