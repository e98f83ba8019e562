"""The README's figures on the robot in a cup: how often strategies find the way around, at equal cost.

python scripts/measure.py [strategy ...] [--told 200] [--settings sigma=0.1 ...]

Each strategy's settings are chosen by the mean validation loss of five seeds, of which none is among the ten whose
success is told. NEAT needs hybridopt-neat: it steers the same robot by a network whose topology evolves.
"""

from __future__ import annotations

import argparse
import ast
import itertools
import math
import time
from collections.abc import Mapping
from statistics import fmean, median_high
from typing import Any

import torch
from torch import Tensor, nn

from hybridopt import Budget, Ledger, Oracle
from hybridopt.composition import building
from hybridopt.testing.by_hand import begin, deploy

FORWARDS = 1e5
ARRIVED = 0.02  # of the mean squared error of the test set: straight through the wall it is 0.17
CHOOSING = range(100, 105)
ENDS = {  # where the robot ends: the behaviour of an episode
    "measures": {"x": {"name": "mean_output", "index": 0}, "y": {"name": "mean_output", "index": 1}},
    "ranges": {"x": [-2.0, 2.0], "y": [-2.0, 2.0]},
}
WIDTHS = [0.03, 0.1, 0.3, 1.0]
TRIED: dict[str, dict[str, list[Any]]] = {
    "map_elites": {"sigma": WIDTHS, "cells": [6, 20]},
    "cma_me": {"sigma": WIDTHS, "cells": [6, 20]},
    "cma_mae": {"sigma": WIDTHS, "cells": [6, 20]},
    "cma_mega": {"sigma": WIDTHS, "cells": [6, 20]},
    "nsr_es": {"sigma": WIDTHS, "lr": [0.02, 0.2]},
    "genetic_algorithm": {"sigma": WIDTHS},
    "neat": {"weight_mutate_power": [0.5, 1.0, 2.0]},
    "random_search": {"sigma": WIDTHS},
    "adam": {"lr": [0.003, 0.03, 0.3]},
}
MODEL, PARTS = {"name": "point_robot"}, ("val", "test")
WITH_ARCHIVE = ("map_elites", "cma_me", "cma_mae", "cma_mega")


def steered_by_genomes(spec: Any) -> nn.Module:
    """The robot, whose parameters are those of ``model=genome_network`` under their own names."""
    from hybridopt_neat.genome_network import GenomeNetwork

    robot = building.build("model", {"name": "point_robot"}, spec=spec)

    class GenomeRobot(GenomeNetwork):
        def forward(self, inputs: Tensor) -> Tensor:
            here, goal = inputs[:, :2], inputs[:, 2:]
            touched = here.new_zeros(len(here))
            for _ in range(robot.steps):
                here = here + robot.speed * super().forward(torch.cat([here, goal], 1))
                touched = touched + robot.touch(here)
            return torch.cat([here, -(-touched[:, None]).expm1()], 1)

    return GenomeRobot(4, 8, 2, ["tanh"], None)


def ended(name: str, settings: Mapping[str, Any], seed: int) -> tuple[float, float]:
    """The losses on validation and test data of what a strategy recommends in the end."""
    torch.manual_seed(seed)
    data = building.build("dataset", {"name": "detour", "samples": 48, "split_seed": seed})
    model = steered_by_genomes(data.spec) if name == "neat" else building.build("model", MODEL, spec=data.spec)
    objective = building.build("objective", {"name": "mse"}, spec=data.spec)
    oracle = Oracle(model, objective, Ledger(Budget(forwards=FORWARDS)), torch.Generator().manual_seed(seed))
    oracle.feed.unchanged = True
    strategy = building.build("strategy", {"name": name, **(ENDS if name in WITH_ARCHIVE else {}), **settings})
    begin(strategy, oracle, data.sets["train"])
    while not (oracle.exhausted or strategy.finished()):
        strategy.step(oracle, data.sets["train"])
    deploy(strategy, oracle)
    model.eval()
    with torch.no_grad():
        losses = [float(objective.loss(model(inputs), targets)) for inputs, targets in map(data.sets.get, PARTS)]
    return losses[0], losses[1]


def measure(name: str, told: range, settings: Mapping[str, Any]) -> None:
    """Choose settings, if there are none yet, and tell how often it succeeds."""
    started = time.perf_counter()
    best = settings or chosen(name)
    losses = [ended(name, best, seed)[1] for seed in told]
    hits, typed = sum(loss <= ARRIVED for loss in losses), " ".join(f"{key}={value}" for key, value in best.items())
    score = f"{name:18} {hits:2} of {len(losses)}  median loss {median_high(losses):.4f}"
    print(f"{score}  {typed}  ({time.perf_counter() - started:.0f} s)", flush=True)


def chosen(name: str) -> dict[str, Any]:
    """The settings with the lowest mean validation loss."""
    choices = [dict(zip(TRIED[name], values, strict=True)) for values in itertools.product(*TRIED[name].values())]
    scores = [fmean(finite(ended(name, choice, seed)[0]) for seed in CHOOSING) for choice in choices]
    return choices[scores.index(min(scores))]


def finite(loss: float) -> float:
    """A loss that means can be taken of."""
    return loss if math.isfinite(loss) else 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("strategies", nargs="*", default=list(TRIED))
    parser.add_argument("--told", type=int, default=0, help="the first of the ten seeds whose success is told")
    parser.add_argument("--settings", nargs="*", default=[], help="such as sigma=0.1, in place of those to choose")
    arguments = parser.parse_args()
    pairs = (setting.split("=", 1) for setting in arguments.settings)
    settings = {name: ast.literal_eval(value) for name, value in pairs}
    torch.set_num_threads(1)
    for name in arguments.strategies:
        measure(name, range(arguments.told, arguments.told + 10), settings)


if __name__ == "__main__":
    main()
