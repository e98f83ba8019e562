"""Small strategies, and a run of them on a small problem, for tests of what is made of phases."""

from __future__ import annotations

from itertools import count

import torch
from torch import nn

from hybridopt.core.encoding import Direct
from hybridopt.core.ledger import Budget
from hybridopt.core.search import Search
from hybridopt.core.spec import DataSpec
from hybridopt.models.mlp import mlp
from hybridopt.objectives.cross_entropy import CrossEntropy
from hybridopt.strategies.evolution_strategies.openai_es import OpenAIES
from hybridopt.strategies.metaheuristics.random_search import RandomSearch
from hybridopt.testing import runs
from hybridopt.testing.problems import Problem
from hybridopt.testing.runs import difference

SPEC = DataSpec((4,), 3, "classification")
B = 5


def network(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return mlp(SPEC, [6], "tanh")


def batch_at(step):
    """The batch of a step, the same in every run."""
    generator = torch.Generator().manual_seed(1000 + step)
    return torch.randn(B, 4, generator=generator), torch.randint(3, (B,), generator=generator)


def parameters_of(model):
    return nn.utils.parameters_to_vector(model.parameters()).detach().clone()


def problem(model):
    """Batches by their steps, and this network."""
    return Problem(SPEC, lambda: model or network(), CrossEntropy, lambda seed: map(batch_at, count()), batch_at(0))


class Run(runs.Run):
    """A strategy on the problem of this file.

    Args:
        strategy: builds the strategy.
        forwards: the budget.
        encoding: builds the run's own encoding.
        model: the network.
    """

    def __init__(self, strategy, forwards, encoding=Direct, model=None):
        budget = Budget(forwards=forwards)
        super().__init__(None, problem(model), budget=budget, strategy=strategy(), encoding=encoding())

    def records(self, looking=False):
        """The remaining records; with ``looking`` at what is recommended after every step, as at each validation."""
        records = []
        while not self.ledger.exhausted:
            records.append({name: float(value) for name, value in self.step().items()})
            if looking:
                self.answer()
        self.answer()
        return records


def assert_same_state(one, other, where=""):
    assert difference(one.state(), other.state()) is None, where


class Jumping(Search):
    """Recommends its start plus one, and notes where it started and what it was handed."""

    def start(self, x0):
        self.register_buffer("x", x0.clone())
        self.register_buffer("told", torch.zeros((), dtype=torch.int64))
        self.register_buffer("width", self.context.inherited.sigma)

    def ask(self):
        return self.x[None].repeat(2, 1)

    def tell(self, population, losses):
        self.told += 1

    def recommend(self):
        return self.x + 1


def es(popsize=4):
    return OpenAIES(popsize=popsize, sigma=0.1, lr=0.05, probe=0)  # each step costs the same


def random_search(popsize=4):
    return RandomSearch(popsize=popsize, sigma=0.3)
