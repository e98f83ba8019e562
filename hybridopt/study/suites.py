"""Suites: named lists of tasks with budgets and tuning allowances, on which any strategy can be ranked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hybridopt.composition import registry
from hybridopt.errors import ConfigError, options

SPLIT = "dataset.split_seed=${seed}"  # each seed has a split of its own: no lucky one decides


@dataclass(frozen=True)
class Task:
    """What is trained, whatever the strategy.

    Args:
        overrides: model, data set and objective.
        metric: of the test; more of it is better.
        dataset: whose package must be installed.
    """

    overrides: tuple[str, ...]
    metric: str
    dataset: str

    @property
    def installed(self) -> bool:
        """Whether its data set is."""
        return self.dataset in registry.names("dataset")


@dataclass(frozen=True)
class Suite:
    """Some tasks.

    Args:
        tasks: by name.
        budgets: in forwards; each task is run with each.
        trials: of tuning, for each strategy, task and budget.
        seeds: of each arm.
        minutes: that all of ours take on two cores.
    """

    tasks: Mapping[str, Task]
    budgets: tuple[float, ...]
    trials: int
    seeds: int
    minutes: float


def classes(dataset: str, *overrides: str) -> Task:
    """A task of classification."""
    return Task((f"dataset={dataset}", SPLIT, *overrides), "accuracy", dataset)


def images(dataset: str) -> Task:
    """A task on images, with the split that everybody has; the model is a small CNN."""
    return Task((f"dataset={dataset}", "model=cnn"), "accuracy", dataset)


SMALL = {
    "digits": classes("digits"),
    "breast_cancer": classes("breast_cancer"),
    "wine": classes("wine"),
    "diabetes": Task(("dataset=diabetes", SPLIT, "objective=mse"), "r2", "diabetes"),
}
STANDARD = SMALL | {"mnist1d": classes("mnist1d", "model.hidden=[100,100]")}
LARGE = {name: images(name) for name in ("mnist", "fashion_mnist", "cifar10")}
SUITES = {
    "small": Suite(SMALL, (3e5, 1e6), trials=4, seeds=8, minutes=20),
    "standard": Suite(STANDARD, (3e5, 3e6, 3e7), trials=10, seeds=10, minutes=900),
    "large": Suite(LARGE, (1e7, 1e8, 1e9), trials=10, seeds=8, minutes=3000),  # for a GPU
}


def suite_of(name: str) -> Suite:
    """A suite.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in SUITES:
        raise ConfigError(f"There is no suite {name!r}.{options(SUITES, name)}")
    return SUITES[name]
