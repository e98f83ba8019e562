"""The process around a run: number of threads, traces of distributed launches, and log filtering."""

from __future__ import annotations

import atexit
import gc
import logging
import os
import re
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.accelerators import CPUAccelerator
from pytorch_lightning.plugins import Precision
from pytorch_lightning.utilities.exceptions import MisconfigurationException  # pyright: ignore[reportPrivateImportUsage]
from torch import distributed

from hybridopt.core.ledger import Budget
from hybridopt.engine.threads import allowing
from hybridopt.errors import ConfigError, brief, oneline
from hybridopt.toolbox.orphans import starting_workers

SMALL_NETWORK = 100_000  # parameters
LAUNCH = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS")
PATIENCE = 20.0  # seconds that another rank gives the first one to fail
ANOMALY = re.compile(r"Function '\w+' returned nan values")  # torch's words
FILTERED = (  # warnings about what is meant to be as it is
    ".*configure_optimizers.*returned .None.*",  # a search has no optimiser
    ".*does not have many workers.*",  # data is in memory
    ".*model_checkpoint.*",
    ".*Consider setting `persistent_workers=True`.*",
    ".*LeafSpec.*",  # Lightning 2.6 with torch 2.13
)


@contextmanager
def threads(setting: str | int, model: torch.nn.Module, processes: int = 1) -> Iterator[None]:
    """Run with this number of CPU threads inside.

    Args:
        setting: a number, or "auto": one for each operation of small networks, which gain nothing from a second and
            lose much where cores are shared; torch's default for others. It depends on the network alone, since the
            number of threads shows in the last digits of results. Members of a population may be run by as many as
            torch's default in either case, which shows nowhere (:mod:`hybridopt.engine.threads`).
        model: the network.
        processes: which share the cores that torch's default is for.
    """
    if setting != "auto" and not (isinstance(setting, int) and setting > 0):
        raise ConfigError(f"threads must be auto or a positive whole number, but is {setting!r}.")
    before = torch.get_num_threads()
    small = sum(parameter.numel() for parameter in model.parameters()) < SMALL_NETWORK
    if setting != "auto" or small:
        torch.set_num_threads(1 if setting == "auto" else setting)
        os.environ.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))  # or else Lightning sets it for ranks
    try:
        with allowing(max(1, before // processes) if setting == "auto" else setting):
            yield
    finally:
        torch.set_num_threads(before)


def check_devices(trainer: Trainer) -> None:
    """Refuse more processes on processors than there are cores: each computes, and takes memory, at the same time.

    Two are let through on a machine with one core, so that what is meant for several can be tried.

    Raises:
        ConfigError: there are fewer cores.
    """
    cores = max(os.cpu_count() or 1, 2)
    if isinstance(trainer.accelerator, CPUAccelerator) and trainer.num_devices > cores:
        raise ConfigError(
            f"trainer.devices={trainer.num_devices} would start as many processes on {cores} cores: set "
            f"trainer.devices={cores} at most."
        )


def check_precision(trainer: Trainer, populations: str) -> None:
    """Refuse two settings that lower the precision of populations.

    Args:
        trainer: whose precision may.
        populations: ``oracle.precision``.

    Raises:
        ConfigError: both do.
    """
    if populations != "float32" and type(trainer.precision_plugin) is not Precision:
        raise ConfigError(
            f"oracle.precision={populations} and trainer.precision={trainer.precision} are two ways to the same: leave "
            "one of them out (float32, and 32-true)."
        )


def check_population(strategy: torch.nn.Module, budget: Budget) -> None:
    """Refuse a population of which not each member could see one sample within the budget.

    Raises:
        ConfigError: the population is larger than the budget.
    """
    for part in strategy.modules():
        size = getattr(part, "popsize", None)
        if isinstance(size, int) and budget.forwards is not None and size > budget.forwards:
            raise ConfigError(
                f"popsize={size} of {type(part).__name__} is larger than budget.forwards={budget.forwards:g}, one "
                "forward for each member: set a smaller population, or a larger budget."
            )


@contextmanager
def processes_of_its_own() -> Iterator[None]:
    """Undo afterwards what Lightning sets to start ranks, so that another run in this process can start its own."""
    before = {name: os.environ.get(name) for name in LAUNCH}
    joined = distributed.is_available() and distributed.is_initialized()
    try:
        with starting_workers():
            yield
    finally:
        if not joined and distributed.is_available() and distributed.is_initialized():
            _leave_group()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _leave_group() -> None:
    """Leave torch's process group, and see to it that its threads have ended before the interpreter does.

    The module that gradients go through keeps the group, in a cycle that is collected when the run's frames are gone.
    A thread of the group that wants the interpreter while that ends aborts the process.
    """
    distributed.destroy_process_group()
    atexit.unregister(gc.collect)
    atexit.register(gc.collect)


@contextmanager
def explaining_training() -> Iterator[None]:
    """Inside, what Lightning and torch's anomaly detection have to say to the user becomes a sentence.

    Raises:
        ConfigError: Lightning refuses settings that it looks at only now, or a derivative is NaN.
    """
    try:
        yield
    except MisconfigurationException as error:
        raise ConfigError(f"Lightning's Trainer refuses to train with these settings: {oneline(error)}.") from error
    except RuntimeError as error:
        if not ANOMALY.search(str(error)):
            raise
        raise ConfigError(
            f"trainer.detect_anomaly found a derivative that is NaN ({brief(error)}): take smaller steps "
            "(strategy.lr), or scale the data."
        ) from error


@contextmanager
def quiet(but_profiles: bool = False) -> Iterator[None]:
    """Filter Lightning's advertisements, and its advice on what is meant to be as it is, out of logs and warnings.

    Args:
        but_profiles: what profilers report is wanted.
    """
    wanted = {"pytorch_lightning": logging.WARNING, "lightning_fabric": logging.WARNING}
    wanted |= {"pytorch_lightning.profilers": logging.INFO} if but_profiles else {}
    loggers = [logging.getLogger(name) for name in wanted]
    levels = [logger.level for logger in loggers]
    for logger, level in zip(loggers, wanted.values(), strict=True):
        logger.setLevel(level)
    try:
        with warnings.catch_warnings():
            for message in FILTERED:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def appears(path: Path, since: float) -> bool:
    """Whether a file is written, after the time ``since``, within :data:`PATIENCE` seconds."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if path.exists() and path.stat().st_mtime >= since:
            return True
        time.sleep(0.1)
    return False
