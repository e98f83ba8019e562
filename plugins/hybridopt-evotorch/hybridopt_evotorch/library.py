"""EvoTorch itself: imported without a trace, and its searchers by name."""

from __future__ import annotations

import importlib
import inspect
import os
import warnings
from contextlib import AbstractContextManager
from typing import Any

import torch

from hybridopt import ConfigError
from hybridopt.toolbox.messages import options

VERBOSITY = "EVOTORCH_VERBOSE_LEVEL"
ELSEWHERE = {"PyCMAES": "strategy=cma_es of the package hybridopt-cma, which is the same library"}


def imported(module: str) -> Any:
    """A module of EvoTorch; its import leaves logging, warning filters and the environment as they were.

    EvoTorch would give its logger handlers of its own, that print to the terminal, unless ``EVOTORCH_VERBOSE_LEVEL`` is
    -1; whoever has set that variable gets what it says.
    """
    before = os.environ.get(VERBOSITY)
    os.environ.setdefault(VERBOSITY, "-1")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    finally:
        if before is None:
            os.environ.pop(VERBOSITY, None)


def untouched(device: torch.device) -> AbstractContextManager[None]:
    """Inside, EvoTorch may draw from torch's global generators (for shapes, under vmap); they are put back."""
    return torch.random.fork_rng([device] if device.type == "cuda" else [])


def searchers() -> dict[str, type]:
    """EvoTorch's searchers that move one Gaussian, by name."""
    algorithms = imported("evotorch.algorithms")
    gaussian = algorithms.distributed.gaussian.GaussianSearchAlgorithm
    named = {name: value for name, value in vars(algorithms).items() if inspect.isclass(value)}
    found = {name: value for name, value in named.items() if issubclass(value, gaussian) and value is not gaussian}
    return {**found, "CMAES": algorithms.CMAES}


def searcher_class(name: str) -> type:
    """The searcher of this name.

    Raises:
        ConfigError: there is none, or none that moves a Gaussian.
    """
    known = searchers()
    if name in known:
        return known[name]
    if name in ELSEWHERE:
        raise ConfigError(f"strategy.searcher={name} is not driven from here: take {ELSEWHERE[name]}.")
    if hasattr(imported("evotorch.algorithms"), name):
        raise ConfigError(
            f"EvoTorch's {name} does not move a Gaussian, which is what strategy=evotorch can drive.{options(known)}"
        )
    raise ConfigError(f"EvoTorch has no searcher {name!r}.{options(known, name)}")


def problem(search: Any, start: torch.Tensor, objectives: int = 1) -> Any:
    """An EvoTorch problem that draws from the search's generator, and answers with the losses it is given.

    Args:
        search: whose generator it draws from.
        start: (d,), in the type and on the device of all vectors.
        objectives: how many there are.

    Returns:
        An ``evotorch.Problem``; its attribute ``told`` (n,) is what the next evaluation of n solutions says. Until its
        attribute ``spare`` is None it draws from that generator: what a searcher's constructor draws is thrown away.
    """
    core = imported("evotorch.core")

    class Told(core.Problem):
        told: torch.Tensor
        spare: torch.Generator | None = torch.Generator(start.device).manual_seed(0)

        def __init__(self) -> None:
            super().__init__(
                "min" if objectives == 1 else ["min"] * objectives,
                solution_length=len(start),
                initial_bounds=(-1.0, 1.0),  # asked for, and of no matter: the centre is given
                dtype=start.dtype,
                device=start.device,
                store_solution_stats=False,
            )

        @property
        def generator(self) -> torch.Generator:
            return search.generator if self.spare is None else self.spare

        def _evaluate_batch(self, batch: Any) -> None:
            batch.set_evals(self.told)

    return Told()
