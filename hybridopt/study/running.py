"""A study as a sweep: tuning, arms and cells, then the verdict and its page."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict, read_write

from hybridopt.core.study import Arm, Cell, Results
from hybridopt.errors import ConfigError
from hybridopt.execution.note import NOTE
from hybridopt.study import cells, collecting, page
from hybridopt.study.finding import find_study, profile_of, refuse_changes
from hybridopt.study.keeping import load
from hybridopt.sweep.plan import Job, Planner, compose_jobs, sweep_id
from hybridopt.sweep.session import SweepRun
from hybridopt.sweep.space import declared_space
from hybridopt.sweep.trials import Tuning, check_installed
from hybridopt.sweep.tuner import Rules, Tuner, keep_best
from hybridopt.toolbox.extras import demand
from hybridopt.tracking.reading import STUDY
from hybridopt.tracking.sweeps import NOTE_LENGTH

FIRST_JUDGE = 1000  # seed of the trials' jobs; fresh ones are below


class StudyRun:
    """A study that is run.

    Args:
        name: the study's.
        profile: which of its profiles.
        workers: processes that compute cells at a time.
        settings: of the study.

    Raises:
        ConfigError: there is no such profile, no such setting, or no such number; or the extra ``report`` is missing.
        PluginError: there is no such study.
    """

    def __init__(self, name: str, profile: str, workers: int, settings: Mapping[str, Any]):
        demand("report", "A study")
        if workers < 1:
            raise ConfigError(f"workers must be at least 1, but is {workers}.")
        self.name, self.profile_name, self.workers = name, profile, workers
        self.study, self.settings = find_study(name, settings), dict(settings)
        self.profile = profile_of(name, self.study, profile)
        self.arms = self.study.arms(self.profile)

    def run(self, master: DictConfig, context: HydraContext, task: TaskFunction, arguments: list[str]) -> str | None:
        """Run what has not finished, and judge.

        Args:
            master: the config of the sweep.
            context: Hydra's.
            task: what each job calls.
            arguments: overrides of the command line.

        Returns:
            The verdict; None where jobs are missing.
        """
        refuse_changes(arguments)
        with read_write(master), open_dict(master):
            master.sweep.report = False  # the study's page stands for it
        self.planner = Planner(context.config_loader, master)
        name = sweep_id(master.sweep.name or "-".join(["study", self.name, self.profile_name, *self._chosen()]), ())
        self.sweep = SweepRun(master, context, task, name, arguments, elsewhere=False)
        verdict, started = None, collecting.clocks()
        with self.sweep.open():
            self.sweep.parent.tracker.set_tags({"hybridopt.study": self.name, "hybridopt.profile": self.profile_name})
            jobs, tunings = self._train(arguments)
            computed = self._compute()
            verdict = self._publish(self._gathered(jobs, tunings, computed, self._taken(started)))
        return verdict

    def _chosen(self) -> list[str]:
        """The settings, as a part of a folder's name."""
        return [re.sub(r"[^\w.+-]+", "_", str(value)) for _, value in sorted(self.settings.items())]

    # -- arms --------------------------------------------------------------------------------------------------------

    def _train(self, more: Sequence[str]) -> tuple[dict[str, list[Job]], dict[str, Tuning]]:
        """Tune, and run all arms with fresh seeds.

        Returns:
            The jobs and the tuning of each arm.
        """
        fixed = {name: [*self.study.base, *arm.overrides, *more] for name, arm in self.arms.items()}
        tuned = [name for name, arm in self.arms.items() if arm.tuned and self.profile.trials]
        trials = len(tuned) * self.profile.trials * self.profile.judges
        self.sweep.planned = trials + len(self.arms) * self.profile.seeds
        tunings: dict[str, Tuning] = {}
        for metric in dict.fromkeys(self.arms[name].tuned_for for name in tuned):
            tunings |= self._tune({name: fixed[name] for name in tuned if self.arms[name].tuned_for == metric}, metric)
        if tunings:
            keep_best(self.sweep, list(tunings.values()))
        first: dict[str, Job] = {}
        jobs = {}
        for name, arm in self.arms.items():
            made = self._jobs(name, arm, fixed[name], tunings)
            jobs[name] = [first.setdefault(job.fingerprint, job) for job in made]  # arms that are equal share theirs
        self.sweep.planned = len(self.sweep.jobs) + len(first)  # by now it is known; trials of before do not run again
        if first:
            self.sweep.run(list(first.values()))
        return jobs, tunings

    def _jobs(self, name: str, arm: Arm, overrides: Sequence[str], tunings: Mapping[str, Tuning]) -> list[Job]:
        tuning = tunings.get(arm.settings_of or name)
        best = [] if tuning is None else tuning.best()
        jobs = compose_jobs(self.planner, [[*overrides, *best, f"seed={seed}"] for seed in self.profile.fresh])
        for job in jobs:
            job.label = f"{name} · {job.label}"
            job.tags = {"hybridopt.arm": name} | ({} if tuning is None else tuning.tags())
        return jobs

    def _tune(self, fixed: Mapping[str, list[str]], metric: str) -> dict[str, Tuning]:
        """Tune arms for a metric."""
        check_installed()
        judges = range(FIRST_JUDGE, FIRST_JUDGE + self.profile.judges)
        direction = "minimize" if metric.endswith("loss") else "maximize"
        tuner = Tuner(self.planner, self.sweep, Rules(self.profile.trials, tuple(judges), metric, direction))
        tunings = {}
        for name, overrides in fixed.items():
            job = self.planner.job([*overrides, f"seed={FIRST_JUDGE}"])
            if job.refused:
                raise ConfigError(f"The arm {name!r} of {self.name} cannot run: {job.refused}")
            tunings[name] = tuner.open(overrides, declared_space(self.planner, job, given=overrides), name)
        tuner.tune(list(tunings.values()))
        return tunings

    def _compute(self) -> dict[str, Cell]:
        """All cells."""
        asked, again = self.study.cells(self.profile), self.sweep.rerun == "all"
        return cells.compute_all(self.study, asked, self.sweep.directory, self.workers, again)

    def _taken(self, started: Mapping[str, float]) -> dict[str, float]:
        """Minutes since ``started``, and those of the commands that this one goes on from."""
        kept, before = self.sweep.directory / STUDY / f"{self.name}.json", {}
        if self.sweep.rerun != "all" and kept.exists():
            before = load(kept).provenance
        return {name: float(before.get(name, 0.0)) + now - started[name] for name, now in collecting.clocks().items()}

    # -- results -----------------------------------------------------------------------------------------------------

    def _gathered(
        self,
        jobs: Mapping[str, Sequence[Job]],
        tunings: Mapping[str, Tuning],
        computed: Mapping[str, Cell],
        took: Mapping[str, float],
    ) -> Results:
        found = {name: collecting.outcomes(self.study, some) for name, some in jobs.items()}
        return Results(
            self.profile_name,
            settings=self.settings,
            arms={name: done for name, (done, _) in found.items()},
            cells=computed,
            tuned={name: collecting.tuned(tuning) for name, tuning in tunings.items()},
            missing=[label for _, missing in found.values() for label in missing],
            provenance=collecting.provenance(took),
        )

    def _publish(self, results: Results) -> str | None:
        """The page and the verdict, in the sweep's directory, in its run, and on the screen."""
        written = page.write(self.name, self.study, results, self.sweep.directory / STUDY)
        judgement = written.judgement
        verdict = None if judgement is None else judgement.verdict
        note = page.short(self.name, self.study, judgement, results)[:NOTE_LENGTH]
        tracker = self.sweep.parent.tracker
        tracker.set_tags({"hybridopt.verdict": verdict or "unfinished", NOTE: note})
        self.sweep.described = True
        for file in written.files:
            tracker.log_artifact(file, STUDY)
        told = [] if judgement is None else judgement.found
        print("\n  ".join([f"{self.name}: {verdict or 'unfinished'}", *told]) + f"\npage       {written.html}")
        return verdict
