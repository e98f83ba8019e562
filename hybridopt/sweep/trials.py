"""The tuning of one combination: an Optuna study that can be stopped and goes on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, cast

from hybridopt.errors import ConfigError
from hybridopt.execution.contents import changed
from hybridopt.execution.directory import State, state
from hybridopt.sweep import board
from hybridopt.sweep.plan import Job

if TYPE_CHECKING:
    import optuna

STUDIES = "optuna.db"
SAMPLERS = {"tpe": "TPESampler", "random": "RandomSampler", "cmaes": "CmaEsSampler", "gp": "GPSampler"}
DIRECTIONS = ("minimize", "maximize")
CONTENTS = "contents"  # among the attributes of a study: what its trials read


@dataclass
class Tuning:
    """The tuning of one combination.

    Args:
        fixed: overrides that make the combination.
        space: what is searched, by key.
        study: Optuna's.
        label: its name.
        metric: what is tuned for.
    """

    fixed: list[str]
    space: dict[str, Any]
    study: optuna.Study
    label: str
    metric: str

    @property
    def forwards(self) -> float:
        """What the trials have cost, each setting once."""
        return sum(spent for name, spent in self.study.user_attrs.items() if name != CONTENTS)

    def book(self, job: Job) -> None:
        """Note what a trial has cost."""
        self.study.set_user_attr(job.fingerprint, board.summary(job.directory).get("cost/forwards", 0.0))

    def best(self) -> list[str]:
        """The overrides of the best trial; none where there was nothing to tune, or no trial has finished."""
        finished = [trial for trial in self.study.trials if trial.value is not None]
        return overrides_of(self.study.best_trial.params) if finished else []

    def result(self) -> dict[str, Any]:
        """Plain values: the best overrides, their value, the number of trials and their cost in forwards."""
        best = self.best()
        value = self.study.best_value if best else None
        return {"best": best, "value": value, "trials": len(self.study.trials), "forwards": self.forwards}

    def tags(self) -> dict[str, str]:
        """For runs with the best settings: what these have cost to find."""
        return {
            "hybridopt.role": "evaluation",
            "hybridopt.tuning_trials": str(len(self.study.trials)),
            "hybridopt.tuning_forwards": f"{self.forwards:.0f}",
        }

    def ask(self, n_trials: int, n_jobs: int) -> list[optuna.Trial | optuna.trial.FrozenTrial]:
        """The next trials to be run: those that were cut short, or new ones; none where all have been run.

        Args:
            n_trials: how many the study has in all.
            n_jobs: how many new ones are asked for at a time.
        """
        from optuna.trial import TrialState

        if not self.space:
            return []
        trials = self.study.trials
        over = [trial for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.FAIL)]
        running = [trial for trial in trials if trial.state == TrialState.RUNNING]
        if running:
            return [*running]
        number = min(n_jobs, n_trials - len(over))
        return [self.study.ask(fixed_distributions=self.space) for _ in range(number)]

    def tell(self, number: int, jobs: Sequence[Job]) -> None:
        """Report what came of a trial: the mean over its jobs; it has failed where one of them has.

        Args:
            number: the trial's.
            jobs: what ran it, one for each seed.

        Raises:
            ConfigError: the jobs have no such metric.
            KeyboardInterrupt: a job was stopped; the trial stays open, and goes on another time.
        """
        from optuna.trial import TrialState

        for job in jobs:
            self.book(job)
        unknown = board.unknown_metric(jobs, self.metric)
        if unknown:
            raise ConfigError(unknown)
        value = fmean(board.summary(job.directory).get(self.metric, math.nan) for job in jobs)
        if any(not job.refused and state(job.directory) == State.HALF_DONE for job in jobs):
            raise KeyboardInterrupt
        if math.isfinite(value):
            self.study.tell(number, value)
        else:
            self.study.tell(number, state=TrialState.FAIL)


def check_installed() -> None:
    """Refuse to tune without Optuna, and silence what it says of each trial.

    Raises:
        ConfigError: Optuna is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise ConfigError('hydra/sweeper=optuna needs Optuna: type pip install "hybridopt[optuna]".') from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def open_study(
    directory: Path, label: str, direction: str, sampler: str, seed: int, again: bool, read: Mapping[str, str]
) -> optuna.Study:
    """A study of a sweep, which goes on where there is one whose trials have read the same.

    Args:
        directory: the sweep's.
        label: the study's name; one on other contents has a number behind it.
        direction: minimize or maximize.
        sampler: one of :data:`SAMPLERS`.
        seed: of the sampler.
        again: whether the study begins from nothing.
        read: the contents on which a trial's result depends, see :mod:`hybridopt.execution.contents`.
    """
    import optuna

    storage = optuna.storages.RDBStorage(f"sqlite:///{directory / STUDIES}")
    there = {study.study_name: study for study in optuna.get_all_study_summaries(storage)}
    names = (label if number == 1 else f"{label} ({number})" for number in count(1))
    name = next(each for each in names if each not in there or not changed(_read_by(there[each]), read))
    if again and name in there:
        optuna.delete_study(study_name=name, storage=storage)
    study = optuna.create_study(study_name=name, storage=storage, direction=cast(Any, direction), load_if_exists=True)
    study.set_user_attr(CONTENTS, dict(read))
    own = seed + len(study.trials)  # or else a sampler that goes on would draw its first trials again
    study.sampler = getattr(optuna.samplers, SAMPLERS[sampler])(seed=own)
    return study


def _read_by(study: optuna.study.StudySummary) -> Mapping[str, str]:
    return study.user_attrs.get(CONTENTS, {})


def overrides_of(params: Mapping[str, Any]) -> list[str]:
    """The parameters of a trial as they would be typed."""
    return [f"{key}={value!r}" if isinstance(value, float) else f"{key}={value}" for key, value in params.items()]


def shortened(override: str) -> str:
    """An override without the first part of its key, and with few digits."""
    key, _, value = override.partition("=")
    with suppress(ValueError):
        value = f"{float(value):.3g}"
    return f"{key.lstrip('+').split('.', 1)[-1]}={value}"
