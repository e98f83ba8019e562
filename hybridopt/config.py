"""The typed frame of a job's config; plugins and trainers fill in their groups."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING


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
class Config:
    """One job."""

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
    instantiate_targets: bool = False
    resume: str | None = None


def register() -> None:
    """Make the frame known to Hydra as the config ``schema``."""
    ConfigStore.instance().store("schema", Config, provider="hybridopt")
