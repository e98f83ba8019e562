"""The process around a run: how many threads it takes, and what it is spared to hear."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from hybridopt.errors import ConfigError

SMALL_NETWORK = 100_000  # parameters
UNSAID = (
    ".*configure_optimizers.*returned .None.*",  # a search has no optimiser
    ".*does not have many workers.*",  # data is in memory
    ".*model_checkpoint.*",
    ".*Consider setting `persistent_workers=True`.*",
    ".*LeafSpec.*",  # Lightning 2.6 with torch 2.13
)


@contextmanager
def threads(setting: str | int, model: torch.nn.Module) -> Iterator[None]:
    """Run with this number of CPU threads inside.

    Args:
        setting: a number, or "auto": one for small networks, which gain nothing from a second and lose much where
            cores are shared; torch's default for others. It depends on the network alone, since the number of threads
            shows in the last digits of results.
        model: the network.
    """
    if setting != "auto" and not (isinstance(setting, int) and setting > 0):
        raise ConfigError(f"threads must be auto or a positive whole number, but is {setting!r}.")
    before = torch.get_num_threads()
    small = sum(parameter.numel() for parameter in model.parameters()) < SMALL_NETWORK
    torch.set_num_threads(setting if setting != "auto" else 1 if small else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def quiet(but_profiles: bool = False) -> Iterator[None]:
    """Lightning's advertisements and its advice on what is meant to be as it is go unsaid.

    Args:
        but_profiles: a profiler reports through the same voice, so let Lightning speak.
    """
    lightning = logging.getLogger("pytorch_lightning")
    level = lightning.level
    lightning.setLevel(level if but_profiles else logging.WARNING)
    try:
        with warnings.catch_warnings():
            for said in UNSAID:
                warnings.filterwarnings("ignore", message=said)
            yield
    finally:
        lightning.setLevel(level)
