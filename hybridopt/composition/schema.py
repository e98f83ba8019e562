"""The typed frame of a job's config; plugins and trainers fill in their groups."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf

from hybridopt.composition.kinds import PARTS
from hybridopt.composition.targets import TARGET


@dataclass
class BudgetConfig:
    """What may be spent; the first limit reached ends the run."""

    forwards: float | None = None
    seconds: float | None = None
    evaluations: float | None = None
    marks: int = 50


@dataclass
class OracleConfig:
    """How populations are run: mode auto, vmap or loop; chunk auto or a number of members; what is on meanwhile."""

    mode: str = "auto"
    chunk: Any = "auto"
    dropout: bool = False
    batch_statistics: bool = False


@dataclass
class ArmConfig:
    """Which control arm a job is: of which strategy, its name, and the part that stands in the strategy's place."""

    of: str | None = None
    name: str | None = None
    part: str | None = None


@dataclass
class SweepConfig:
    """How a sweep (``-m``) goes: its name, if it is to grow; what runs again: failed, all or none; what is tuned;
    whether hybrids run with their control arms: true, false, or the names of some; ``arm`` is a job's own.
    """

    name: str | None = None
    rerun: str = "failed"
    preview: bool = False
    report: bool = True
    metric: str = "final/val/loss"
    controls: Any = False
    arm: ArmConfig = field(default_factory=ArmConfig)


@dataclass
class Config:
    """One job; test is whether its test set is touched, once, at the end: trials of a tuning leave it alone."""

    model: Any = MISSING
    dataset: Any = MISSING
    objective: Any = MISSING
    encoding: Any = MISSING
    strategy: Any = MISSING
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    oracle: OracleConfig = field(default_factory=OracleConfig)
    trainer: Any = MISSING
    tracking: Any = MISSING
    threads: Any = "auto"
    seed: int = 0
    seeds: int | None = None
    sweep: SweepConfig = field(default_factory=SweepConfig)
    instantiate_targets: bool = False
    test: bool = True
    resume: str | None = None


@dataclass
class GridConfig:
    """Settings of ``hydra/sweeper=hybridopt``: as Hydra's own, a batch size and parameters to sweep."""

    _target_: str = "hydra_plugins.hybridopt.GridSweeper"
    max_batch_size: int | None = None
    params: dict[str, str] | None = field(default=None)


@dataclass
class TuningConfig:
    """Settings of ``hydra/sweeper=optuna``."""

    _target_: str = "hydra_plugins.hybridopt.TuningSweeper"
    n_trials: int = 20
    n_jobs: int = 1
    direction: str | None = None
    sampler: str = "tpe"
    seed: int = 0
    tuning_seed: int = 1000
    declared: bool = True
    params: dict[str, str] | None = field(default=None)


FRAME = ("budget", "oracle", "threads", "seed")  # what a run reads besides its groups
NAMED = {kind: {"name", TARGET} for kind in PARTS} | {"tracking": {"name"}}  # by one of these keys

SWEEPERS = {"hybridopt": GridConfig, "optuna": TuningConfig}


def check(config: Any) -> dict[str, Any]:
    """A config that was kept, where it is a whole one of a job.

    Args:
        config: what was read.

    Raises:
        ValueError, OmegaConfBaseException: a key is missing or unknown, or a value has another type.
    """
    framed = OmegaConf.merge(OmegaConf.structured(Config), config)
    missing = sorted(OmegaConf.missing_keys(framed)) or [key for key in FRAME if key not in config]
    if missing:
        raise ValueError(f"{missing[0]} is missing")
    odd = [key for key in (*NAMED, "trainer") if not isinstance(config[key], Mapping)]
    odd += [key for key, names in NAMED.items() if key not in odd and not _says(config[key], names)]
    if odd:
        raise ValueError(f"{odd[0]} is {config[odd[0]]!r}")
    return config


def _says(settings: Mapping[str, Any], names: Collection[str]) -> bool:
    return any(isinstance(settings.get(name), str) for name in names)


def register() -> None:
    """Make the frame known to Hydra as the config ``schema``, and the settings of our sweepers."""
    store = ConfigStore.instance()
    store.store("schema", Config, provider="hybridopt")
    for name, settings in SWEEPERS.items():
        store.store(group="hydra/sweeper", name=name, node=settings, provider="hybridopt")
