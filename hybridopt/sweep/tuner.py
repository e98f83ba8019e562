"""Tuning: the same number of trials for each combination, and then fresh seeds of the best settings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from hybridopt.errors import counted
from hybridopt.execution.contents import contents
from hybridopt.sweep.plan import Job, Planner, compose_jobs
from hybridopt.sweep.session import SweepRun
from hybridopt.sweep.trials import Tuning, open_study, overrides_of, shortened

RESULTS = "optimization_results.yaml"  # as the packaged Optuna sweeper calls it


@dataclass(frozen=True)
class Rules:
    """How combinations are tuned.

    Args:
        n_trials: for each.
        seeds: of the jobs of each trial, which is judged by the mean over them.
        metric: what is tuned for.
        direction: minimize or maximize.
        sampler: one of :data:`~hybridopt.sweep.trials.SAMPLERS`.
        sampler_seed: of the sampler.
        n_jobs: how many trials of a combination are asked for at a time.
    """

    n_trials: int
    seeds: tuple[int, ...]
    metric: str = "final/val/loss"
    direction: str = "minimize"
    sampler: str = "tpe"
    sampler_seed: int = 0
    n_jobs: int = 1


class Tuner:
    """Tunes combinations in a sweep.

    Args:
        planner: makes jobs.
        run: the sweep that goes on.
        rules: for all combinations.
    """

    def __init__(self, planner: Planner, run: SweepRun, rules: Rules):
        self.planner, self.run, self.rules = planner, run, rules

    def open(self, fixed: list[str], space: dict[str, Any], label: str) -> Tuning:
        """The tuning of a combination, which goes on where there is one.

        Args:
            fixed: overrides that make the combination.
            space: Optuna's distributions, by key.
            label: its name.
        """
        rules = self.rules
        again, read = self.run.rerun == "all", contents(self.planner.job([*fixed, f"seed={rules.seeds[0]}"]).config)
        name = label if len(rules.seeds) == 1 else f"{label}, {len(rules.seeds)} seeds each"
        directory = self.run.directory
        study = open_study(directory, name, rules.direction, rules.sampler, rules.sampler_seed, again, read)
        return Tuning(fixed, space, study, label, rules.metric)

    def tune(self, tunings: Sequence[Tuning]) -> None:
        """Rounds of trials, of all at a time, until each has had its number; those that were cut short go on first."""
        while True:
            asked = [(each, trial) for each in tunings for trial in each.ask(self.rules.n_trials, self.rules.n_jobs)]
            if not asked:
                return
            jobs_of = [self._jobs(each, trial) for each, trial in asked]
            jobs = [job for some in jobs_of for job in some]
            first = {job.fingerprint: job for job in reversed(jobs)}  # trials with equal settings share theirs
            self.run.run([job for job in jobs if first[job.fingerprint] is job])
            for (each, trial), some in zip(asked, jobs_of, strict=True):
                each.tell(trial.number, [first[job.fingerprint] for job in some])

    def _jobs(self, tuning: Tuning, trial: Any) -> list[Job]:
        """A trial's, one for each of its seeds."""
        chosen = overrides_of(trial.params)
        seeds = self.rules.seeds
        jobs = [self.planner.job([*tuning.fixed, *chosen, f"seed={seed}", "test=false"]) for seed in seeds]
        told = "".join(f" · {shortened(override)}" for override in chosen)
        for job in jobs:
            job.label = f"{job.label} · trial {trial.number}{told}"
            job.tags = {"hybridopt.role": "trial", "hybridopt.tuning": tuning.label}
        return jobs

    def evaluate(self, tunings: Iterable[Tuning], seeds: Sequence[str]) -> None:
        """Run the best settings with fresh seeds; what tuning has cost is a tag of each run."""
        jobs = [job for tuning in tunings for job in self._evaluated(tuning, seeds)]
        if jobs:
            self.run.run(jobs)

    def _evaluated(self, tuning: Tuning, seeds: Sequence[str]) -> list[Job]:
        jobs = compose_jobs(self.planner, [[*tuning.fixed, *tuning.best(), f"seed={seed}"] for seed in seeds])
        for job in jobs:
            job.tags = tuning.tags()
        return jobs


def keep_best(run: SweepRun, tunings: Sequence[Tuning]) -> None:
    """Keep the best settings, and what they have cost to find."""
    found = {tuning.label: tuning.result() for tuning in tunings}
    text = yaml.safe_dump({"name": "optuna", "studies": found}, sort_keys=False)
    run.parent.tracker.log_artifact(run.parent.keep(RESULTS, text))
    for tuning in tunings:
        best = found[tuning.label]
        settings = " ".join(best["best"]) or "(nothing to tune)"
        trials = counted(best["trials"], "trial")
        print(f"best of {trials} for {tuning.label}: {settings}, {tuning.metric} {best['value']}")
