"""The parts of a run, built from its config: data, and the trial that trains on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from pytorch_lightning import LightningDataModule

from hybridopt.composition import building, targets
from hybridopt.core.data import replayable
from hybridopt.core.ledger import Budget
from hybridopt.core.spec import DataSpec
from hybridopt.engine.memory import WithinMemory
from hybridopt.errors import ConfigError
from hybridopt.execution.runtime import check_population
from hybridopt.execution.trial import Trial


def build_parts(config: Mapping[str, Any]) -> tuple[Trial, LightningDataModule]:
    """The trial and the data that a config names; one seed fixes what any of them draws while it is built.

    Args:
        config: plain values, resolved.
    """
    seed = config["seed"]
    if seed < 0:
        raise ConfigError(f"seed must not be negative, but is {seed}.")
    datamodule = build_data(config, seed)
    return build_trial(config, cast(Any, datamodule).spec), datamodule  # any data module that has one


def build_trial(config: Mapping[str, Any], spec: DataSpec) -> Trial:
    """The trial that a config names, for data of this shape."""
    with torch.random.fork_rng(), WithinMemory():
        torch.manual_seed(config["seed"])
        model, objective, encoding, strategy = (
            building.build(kind, values_of(config, kind), spec=spec)
            for kind in ("model", "objective", "encoding", "strategy")
        )
    budget = Budget(**config["budget"])
    check_population(strategy, budget)
    kept = {"encoding": encoding, "seed": config["seed"], "spec": spec, **config["oracle"]}
    return Trial(model, objective, strategy, budget, **kept)


def build_data(config: Mapping[str, Any], seed: int) -> LightningDataModule:
    """The data that a config names, with a training stream that is fixed by the seed."""
    datamodule = building.build("dataset", values_of(config, "dataset"))
    datamodule.prepare_data()
    if not hasattr(datamodule, "spec"):
        datamodule.setup("fit")
    return replayable(datamodule, seed)


def values_of(config: Mapping[str, Any], group: str) -> Any:
    """The settings of a group; a ``_target_`` that the user allows is called now."""
    return targets.instantiate(config[group])  # what is not allowed was refused before
