"""The typed frame of a job's config; plugins and trainers fill in their groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from hybridopt.toolbox.ranges import amount, between, named, one_of, steps, word_or_whole, workers

RULE = "rule"  # in a field's metadata: what its value must be besides being of its type
AMOUNT = 1e18  # forwards, evaluations: years of any machine
LONGEST = 1e9  # seconds: thirty years
SEEDS = 2**32 - 1  # the largest seed that numpy, scikit-learn and nevergrad take
THREADS = 1024
DEVICES = 4096
MARKS = 100_000
JOBS = 100_000  # of a sweep; each is composed, listed and has a directory


def rule(helper: Callable[..., None], *limits: Any) -> dict[str, Any]:
    """A field's bound: a helper of :mod:`hybridopt.toolbox.ranges`, and what it takes before the settings."""
    return {RULE: (helper, limits)}


@dataclass
class BudgetConfig:
    """What may be spent; the first limit reached ends the run."""

    forwards: float | None = field(default=None, metadata=rule(amount, AMOUNT))
    seconds: float | None = field(default=None, metadata=rule(amount, LONGEST))
    evaluations: float | None = field(default=None, metadata=rule(amount, AMOUNT))
    marks: int = field(default=50, metadata=rule(between, 1, MARKS))
    spacing: str = field(default="even", metadata=rule(one_of, ("even", "log")))


@dataclass
class OracleConfig:
    """How populations are run: mode auto, vmap or loop; chunk auto or a number of members; what is on meanwhile;
    precision float32 or bf16; graph none, or auto to record evaluations on GPUs.
    """

    mode: str = field(default="auto", metadata=rule(one_of, ("auto", "vmap", "loop")))
    chunk: int | str = field(default="auto", metadata=rule(word_or_whole, "auto", 1, 10**9))
    dropout: bool = False
    batch_statistics: bool = False
    precision: str = field(default="float32", metadata=rule(one_of, ("float32", "bf16")))
    graph: str = field(default="none", metadata=rule(one_of, ("none", "auto")))


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
    rerun: str = field(default="failed", metadata=rule(one_of, ("failed", "all", "none")))
    preview: bool = False
    report: bool = True
    metric: str = "final/val/loss"
    controls: Any = False
    arm: ArmConfig = field(default_factory=ArmConfig)


@dataclass
class WeightsConfig:
    """Where training starts: a file, a folder or a run whose weights the network takes; none if ``source`` is null.

    ``weights=<source>`` is short for ``weights.source=<source>``. ``prefix`` is what the names of the network's tensors
    begin with there, or lack there; ``strict`` asks that all of them fit.
    """

    source: str | None = None
    prefix: str = ""
    strict: bool = True


@dataclass
class TrackingConfig:
    """The settings of ``tracking``, of whichever name: what there is stands in its preset."""

    name: str = field(default="mlflow", metadata=rule(one_of, ("mlflow", "none")))
    uri: str | None = None
    experiment: str = field(default="hybridopt", metadata=rule(named, 250))
    log_model: bool = True
    model_format: str = field(default="class", metadata=rule(one_of, ("class", "graph")))
    system_metrics: bool = False
    patience: float = field(default=20.0, metadata=rule(between, 0, LONGEST))


@dataclass
class TrainerConfig:
    """Of the arguments of Lightning's Trainer those whose bounds are known here; it checks the others itself."""

    accelerator: str = "auto"
    devices: Any = field(default=1, metadata=rule(workers, DEVICES))
    num_nodes: int = field(default=1, metadata=rule(between, 1, DEVICES))
    precision: str | int | None = "32-true"
    fast_dev_run: bool | int = field(default=False, metadata=rule(between, 0, MARKS))
    enable_progress_bar: bool | None = True
    deterministic: Any = field(default=False, metadata=rule(one_of, (True, False, "warn")))
    max_steps: int = field(default=-1, metadata=rule(steps, 2**62))
    strategy: Any = "auto"
    callbacks: dict[str, dict[str, Any] | None] | None = None


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
    weights: WeightsConfig = field(default_factory=WeightsConfig)
    trainer: Any = MISSING
    tracking: Any = MISSING
    threads: int | str = field(default="auto", metadata=rule(word_or_whole, "auto", 1, THREADS))
    seed: int = field(default=0, metadata=rule(between, 0, SEEDS))
    seeds: int | None = field(default=None, metadata=rule(between, 1, JOBS))
    sweep: SweepConfig = field(default_factory=SweepConfig)
    instantiate_targets: bool = False
    test: bool = True
    resume: str | None = None
    rerun: str | None = None
    start_over: bool = False


STRUCTURED = {  # the job and those of its groups that have the same settings in every job, by dotted path
    "": Config,
    "budget": BudgetConfig,
    "oracle": OracleConfig,
    "weights": WeightsConfig,
    "sweep": SweepConfig,
    "sweep.arm": ArmConfig,
}
FRAMES = {**STRUCTURED, "tracking": TrackingConfig, "trainer": TrainerConfig}  # whose settings are no plugin's


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
    seeds_per_trial: int = 1
    declared: bool = True
    params: dict[str, str] | None = field(default=None)


@dataclass
class StudyConfig:
    """Settings of ``hydra/sweeper=study``."""

    _target_: str = "hydra_plugins.hybridopt.StudySweeper"
    study: str = MISSING
    profile: str = "docs"
    workers: int = 1
    settings: dict[str, Any] = field(default_factory=dict)


SWEEPERS = {"hybridopt": GridConfig, "optuna": TuningConfig, "study": StudyConfig}


def register() -> None:
    """Make the frame known to Hydra as the config ``schema``, and the settings of our sweepers."""
    store = ConfigStore.instance()
    store.store("schema", Config, provider="hybridopt")
    for name, settings in SWEEPERS.items():
        store.store(group="hydra/sweeper", name=name, node=settings, provider="hybridopt")
