"""The sweeper that tunes: the same number of trials for every combination, by Optuna, and then fresh seeds.

Akiba et al., "Optuna: A Next-generation Hyperparameter Optimization Framework", KDD 2019,
https://arxiv.org/abs/1907.10902.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra.errors import CompactHydraException
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hybridopt.errors import ConfigError, HybridoptError, counted, options
from hybridopt.sweep.plan import Planner, all_combinations, compose_jobs, sweep_id, varied_values
from hybridopt.sweep.session import SweepRun
from hybridopt.sweep.space import Axes, declared_space
from hybridopt.sweep.trials import DIRECTIONS, SAMPLERS, check_installed
from hybridopt.sweep.tuner import Rules, Tuner, keep_best


class TuningSweeper(Sweeper):
    """Searches good settings for each combination of plugins, and evaluates them with fresh seeds.

    Values of config groups (``strategy=adam,openai_es dataset=digits,wine``) make combinations, each a study of its
    own with the same number of trials. Searched are the values given as ``interval(...)``, ``range(...)``,
    ``choice(...)`` or a list, and what the strategies declare themselves (``Strategy.search_space``). All trials have
    the same seeds, none of which is a fresh one, and leave the test set alone; one is judged by the mean over its
    seeds. With ``seeds=N`` or ``seed=...`` the best settings are run with those.

    Args:
        n_trials: for each combination.
        n_jobs: how many trials of a combination are asked for at a time.
        direction: minimize or maximize; None is minimize, for losses.
        sampler: tpe, random, cmaes or gp.
        seed: of the sampler.
        tuning_seed: the ``seed`` of all trials, or the first of them.
        seeds_per_trial: how many; with one, settings are chosen that may have been lucky once.
        declared: whether what strategies declare is searched.
        params: overrides that are swept besides those of the command line, by key.

    Raises:
        ConfigError: a setting is out of range, or Optuna is not installed.
    """

    def __init__(
        self,
        n_trials: int = 20,
        n_jobs: int = 1,
        direction: str | None = None,
        sampler: str = "tpe",
        seed: int = 0,
        tuning_seed: int = 1000,
        seeds_per_trial: int = 1,
        declared: bool = True,
        params: Mapping[str, str] | None = None,
    ):
        self.n_trials, self.n_jobs, self.direction = n_trials, n_jobs, direction
        self.sampler, self.seed, self.declared = sampler, seed, declared
        self.tuning_seed, self.seeds_per_trial = tuning_seed, seeds_per_trial
        self.params = dict(params or {})

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.task, self.master = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> Any:
        """Tune, and evaluate.

        Returns:
            The best value of each study, by the combination's label.

        Raises:
            CompactHydraException: a sentence for the user.
            SystemExit: not all jobs have finished.
        """
        try:
            self._check()
            return self._sweep([*(f"{key}={value}" for key, value in self.params.items()), *arguments])
        except HybridoptError as error:
            raise CompactHydraException(str(error)) from error

    def _check(self) -> None:
        for name in ("n_trials", "n_jobs", "seeds_per_trial"):
            if getattr(self, name) < 1:
                raise ConfigError(f"hydra.sweeper.{name} must be at least 1, but is {getattr(self, name)}.")
        if self.sampler not in SAMPLERS:
            raise ConfigError(f"There is no hydra.sweeper.sampler {self.sampler!r}.{options(SAMPLERS, self.sampler)}")
        if self.direction not in (None, *DIRECTIONS):
            raise ConfigError(f"hydra.sweeper.direction must be minimize or maximize, but is {self.direction!r}.")
        if self.direction is None and "loss" not in self.master.sweep.metric:
            raise ConfigError(
                f"It is not known whether {self.master.sweep.metric} should be high or low: set "
                "hydra.sweeper.direction=maximize or hydra.sweeper.direction=minimize."
            )
        if self.master.sweep.controls:
            raise ConfigError(
                "sweep.controls does not go with hydra/sweeper=optuna, since control arms would get settings that were "
                "tuned for the hybrid: tune each arm as a strategy of its own, or leave one of the two out."
            )
        check_installed()

    def _sweep(self, arguments: list[str]) -> dict[str, float]:
        planner = Planner(self.context.config_loader, self.master)
        axes = Axes.of(planner, planner.parse(arguments))
        own = [seed for seed in map(str, self._tuning_seeds()) if seed in axes.seeds]
        if own:
            raise ConfigError(f"The seed {own[0]} is the trials' own, and no fresh one: set hydra.sweeper.tuning_seed.")
        combinations = all_combinations(axes.groups)
        spaces = [self._space(planner, fixed, axes) for fixed in combinations]
        name = sweep_id(self.master.sweep.name, self._identity(planner, combinations, spaces, axes))
        run = SweepRun(self.master, self.context, self.task, name, arguments)
        if self.master.sweep.preview:
            self._preview(planner, combinations, spaces, axes, run)
            return {}
        with run.open():
            labels = ["-".join(values) or "all" for values in varied_values(combinations)]
            tuner = Tuner(planner, run, self._rules())
            tunings = [tuner.open(*each) for each in zip(combinations, spaces, labels, strict=True)]
            tuner.tune(tunings)
            keep_best(run, tunings)
            tuner.evaluate(tunings, axes.seeds)
        return {tuning.label: tuning.study.best_value for tuning in tunings if tuning.best()}

    def _rules(self) -> Rules:
        seeds = tuple(self._tuning_seeds())
        direction = self.direction or DIRECTIONS[0]
        return Rules(self.n_trials, seeds, self.master.sweep.metric, direction, self.sampler, self.seed, self.n_jobs)

    def _identity(self, planner: Planner, combinations: Any, spaces: Any, axes: Axes) -> Iterator[str]:
        """What makes this sweep another one than others."""
        yield from (planner.job([*fixed, f"seed={self.tuning_seed}"]).fingerprint for fixed in combinations)
        yield json.dumps([{key: str(value) for key, value in space.items()} for space in spaces])
        yield f"{self.n_trials} {self.sampler} {self.seed} {self.direction} {self.master.sweep.metric} {axes.seeds}"
        if self.seeds_per_trial > 1:
            yield str(self.seeds_per_trial)

    def _tuning_seeds(self) -> range:
        return range(self.tuning_seed, self.tuning_seed + self.seeds_per_trial)

    def _space(self, planner: Planner, fixed: Sequence[str], axes: Axes) -> dict[str, Any]:
        """What is searched for a combination: what the user swept, and what the strategy declares besides."""
        if not self.declared:
            return axes.space()
        job = planner.job([*fixed, f"seed={self.tuning_seed}"])
        if job.refused:
            raise ConfigError(job.refused)
        return axes.space() | declared_space(planner, job, given=[*axes.space(), *fixed])

    def _preview(self, planner: Planner, combinations: Any, spaces: Any, axes: Axes, run: SweepRun) -> None:
        """The trials at the combinations' defaults, which cost as much as others."""
        from hybridopt.sweep.preview import preview

        trials = [planner.job([*fixed, f"seed={self.tuning_seed}", "test=false"]) for fixed in combinations]
        number = self.n_trials * self.seeds_per_trial
        for job, space in zip(trials, spaces, strict=True):
            told = ", ".join(f"{key}: {value}" for key, value in space.items()) or "nothing to tune"
            seeds = f" with {self.seeds_per_trial} seeds each" if self.seeds_per_trial > 1 else ""
            print(f"{job.label}: {counted(self.n_trials if space else 0, 'trial')}{seeds} over {told}")
        evaluated = compose_jobs(planner, [[*fixed, f"seed={seed}"] for fixed in combinations for seed in axes.seeds])
        times = [number if space else 0 for space in spaces] + [1] * len(evaluated)
        preview([*trials, *evaluated], run, times)
