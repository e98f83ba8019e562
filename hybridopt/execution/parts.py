"""The parts of a run, built from its config: data, and the trial that trains on them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningDataModule
from torch import nn

from hybridopt.composition import building, targets
from hybridopt.core.data import replayable
from hybridopt.core.ledger import Budget
from hybridopt.core.objective import Batch
from hybridopt.core.spec import DataSpec
from hybridopt.engine.memory import WithinMemory, without_limit
from hybridopt.errors import ConfigError, HybridoptError
from hybridopt.execution.feeding import first_batch, unnoticed
from hybridopt.execution.inspection import declared, inspect
from hybridopt.execution.pretrained import load_into
from hybridopt.execution.runtime import check_population
from hybridopt.execution.trial import Trial

log = logging.getLogger(__name__)


def build_parts(config: Mapping[str, Any]) -> tuple[Trial, LightningDataModule]:
    """The trial and the data that a config names; one seed fixes what any of them draws while it is built.

    Args:
        config: plain values, resolved.
    """
    seed = config["seed"]
    if seed < 0:
        raise ConfigError(f"seed must not be negative, but is {seed}.")
    datamodule = build_data(config, seed)
    return build_trial(config, datamodule, early_batch(datamodule)), datamodule


def rebuilt(config: Mapping[str, Any], directory: Path, permitted: bool) -> nn.Module:
    """The network of a finished run, with the weights that were tested.

    Args:
        config: the run's.
        directory: the run's.
        permitted: whether modules of the user's own may be imported for it.
    """
    with targets.permitting(permitted):
        return build_parts({**config, "weights": {"source": str(directory)}})[0].model


def build_trial(
    config: Mapping[str, Any],
    datamodule: LightningDataModule,
    batch: Batch | None,
    tell: bool = True,
    network: nn.Module | None = None,
) -> Trial:
    """The trial that a config names, for data like a batch's; the network is looked at.

    Args:
        config: plain values, resolved.
        datamodule: whose ``spec`` says what the data are like, if it has one.
        batch: of training; None where none can be had before the run.
        tell: whether the log says which weights the network takes.
        network: that of another trial of this config, to be used as it is; None to build one.
    """
    spec = declared(datamodule, batch)
    with torch.random.fork_rng(), WithinMemory():
        torch.manual_seed(config["seed"])
        model = build_model(config, spec, datamodule) if network is None else network
        objective = building.build("objective", values_of(config, "objective"), spec=spec)
        if spec is None:
            spec = inspect(model, objective, needed(batch), None, named(config))
        encoding, strategy = (
            building.build(kind, values_of(config, kind), spec=spec) for kind in ("encoding", "strategy")
        )
        budget = Budget(**config["budget"])
        check_population(strategy, budget)
        kept = {"encoding": encoding, "seed": config["seed"], "spec": spec, **config["oracle"]}
        trial = Trial(model, objective, strategy, budget, **kept)
        if batch is not None:
            with without_limit():
                trial.look_at(batch, named(config))
        matched = load_into(model, config.get("weights") or {}) if network is None else None
    if matched is not None and tell:
        log.info("weights=%s: %s.", config["weights"]["source"], matched)
    return trial


def build_model(config: Mapping[str, Any], spec: DataSpec | None, datamodule: LightningDataModule) -> nn.Module:
    """The network that a config names.

    Raises:
        ConfigError: it is built for a shape of data, and nobody says what that is.
    """
    settings = values_of(config, "model")
    if spec is None and isinstance(settings, Mapping) and building.asks_for("model", settings, "spec"):
        raise ConfigError(
            f"{named(config)} is built for the shape of the data, which {type(datamodule).__name__} does not tell: "
            "give that class num_classes, or spec = DataSpec(input_shape, output_size, task)."
        )
    return building.build("model", settings, spec=spec)


def named(config: Mapping[str, Any]) -> str:
    """The network, as a user names it."""
    return f"model={building.name_of(config['model'])}"


def needed(batch: Batch | None) -> Batch:
    """A batch, where nothing else tells what data are like."""
    if batch is None:
        raise ConfigError("The data set gives no batch before the run, and has no spec: give it one.")
    return batch


def early_batch(datamodule: LightningDataModule) -> Batch | None:
    """The first batch of training; None where it cannot be had, of which the run itself will tell.

    Raises:
        DataError: a batch is none.
    """
    with unnoticed():
        try:
            return first_batch(datamodule)
        except HybridoptError:
            raise
        except Exception as error:
            log.debug("No batch can be had before the run.", exc_info=error)
            return None


def build_data(config: Mapping[str, Any], seed: int) -> LightningDataModule:
    """The data that a config names, with a training stream that is fixed by the seed."""
    datamodule = building.build("dataset", values_of(config, "dataset"))
    datamodule.prepare_data()
    if not hasattr(datamodule, "spec"):
        datamodule.setup("fit")  # which may tell
    return replayable(datamodule, seed)


def values_of(config: Mapping[str, Any], group: str) -> Any:
    """The settings of a group; a ``_target_`` that the user allows is called now."""
    return targets.instantiate(config[group])  # what is not allowed was refused before
