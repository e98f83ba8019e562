"""The sweeper that tunes: the same number of trials for every combination, by Optuna, and then fresh seeds.

Akiba et al., "Optuna: A Next-generation Hyperparameter Optimization Framework", KDD 2019,
https://arxiv.org/abs/1907.10902.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.errors import CompactHydraException
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hybridopt.composition import registry
from hybridopt.errors import ConfigError, HybridoptError, PluginError, options
from hybridopt.execution.directory import State, state
from hybridopt.sweep import board
from hybridopt.sweep.grid import SweepRun, plan
from hybridopt.sweep.plan import Job, Planner, sweep_id, varied_keys

if TYPE_CHECKING:
    import optuna

STUDIES = "optuna.db"
RESULTS = "optimization_results.yaml"  # as the packaged Optuna sweeper calls it
SAMPLERS = {"tpe": "TPESampler", "random": "RandomSampler", "cmaes": "CmaEsSampler", "gp": "GPSampler"}
DIRECTIONS = ("minimize", "maximize")


@dataclass
class Study:
    """The tuning of one combination.

    Args:
        fixed: overrides that make the combination.
        space: what is searched, by key.
        study: Optuna's.
        label: its name.
    """

    fixed: list[str]
    space: dict[str, Any]
    study: optuna.Study
    label: str

    @property
    def forwards(self) -> float:
        """What the trials have cost, each setting once."""
        return sum(self.study.user_attrs.values())

    def book(self, job: Job) -> None:
        """Note what a trial has cost."""
        self.study.set_user_attr(job.fingerprint, board.summary(job.directory).get("cost/forwards", 0.0))

    def best(self) -> list[str]:
        """The overrides of the best trial; none where there was nothing to tune, or no trial has finished."""
        finished = [trial for trial in self.study.trials if trial.value is not None]
        return _overrides(self.study.best_trial.params) if finished else []


class TuningSweeper(Sweeper):
    """Searches good settings for each combination of plugins, and evaluates them with fresh seeds.

    Values of config groups (``strategy=adam,openai_es dataset=digits,wine``) make combinations, each a study of its
    own with the same number of trials. Searched are the values given as ``interval(...)``, ``range(...)``,
    ``choice(...)`` or a list, and what the strategies declare themselves (``Strategy.search_space``). All trials have
    one seed, which is none of the fresh ones, and leave the test set alone. With ``seeds=N`` or ``seed=...`` the best
    settings are run with those.

    Args:
        n_trials: for each combination.
        n_jobs: how many trials of a combination are asked for at a time.
        direction: minimize or maximize; None is minimize, for losses.
        sampler: tpe, random, cmaes or gp.
        seed: of the sampler.
        tuning_seed: the ``seed`` of all trials.
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
        declared: bool = True,
        params: Mapping[str, str] | None = None,
    ):
        self.n_trials, self.n_jobs, self.direction = n_trials, n_jobs, direction
        self.sampler, self.seed, self.tuning_seed, self.declared = sampler, seed, tuning_seed, declared
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
        for name in ("n_trials", "n_jobs"):
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
        try:
            import optuna
        except ImportError as error:
            raise ConfigError('hydra/sweeper=optuna needs Optuna: type pip install "hybridopt[optuna]".') from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)

    def _sweep(self, arguments: list[str]) -> dict[str, float]:
        planner = Planner(self.context.config_loader, self.master)
        axes = Axes.of(planner, planner.parse(arguments))
        if str(self.tuning_seed) in axes.seeds:
            raise ConfigError(
                f"The seed {self.tuning_seed} is the trials' own, and no fresh one: set hydra.sweeper.tuning_seed."
            )
        combinations = planner.combinations(axes.groups)
        spaces = [self._space(planner, fixed, axes) for fixed in combinations]
        name = sweep_id(self.master.sweep.name, self._identity(planner, combinations, spaces, axes))
        run = SweepRun(self.master, self.context, self.task, name, arguments)
        if self.master.sweep.preview:
            self._preview(planner, combinations, spaces, axes, run)
            return {}
        with run.open():
            labels = ["-".join(_values(fixed, varied_keys(combinations))) or "all" for fixed in combinations]
            studies = [self._study(run, *each) for each in zip(combinations, spaces, labels, strict=True)]
            self._tune(planner, run, studies)
            self._tell(run, studies)
            self._evaluate(planner, run, studies, axes.seeds)
        return {study.label: study.study.best_value for study in studies if study.best()}

    def _identity(self, planner: Planner, combinations: Any, spaces: Any, axes: Axes) -> Iterator[str]:
        """What makes this sweep another one than others."""
        yield from (planner.job([*fixed, f"seed={self.tuning_seed}"]).fingerprint for fixed in combinations)
        yield json.dumps([{key: str(value) for key, value in space.items()} for space in spaces])
        yield f"{self.n_trials} {self.sampler} {self.seed} {self.direction} {self.master.sweep.metric} {axes.seeds}"

    def _space(self, planner: Planner, fixed: Sequence[str], axes: Axes) -> dict[str, Any]:
        """What is searched for a combination: what the user swept, and what the strategy declares besides."""
        space = {override.get_key_element(): distribution(override) for override in axes.searched}
        if not self.declared:
            return space
        job = planner.job([*fixed, f"seed={self.tuning_seed}"])
        if job.refused:
            raise ConfigError(job.refused)
        given = {key.lstrip("+") for key in (*space, *(override.partition("=")[0] for override in fixed))}
        texts = {k: v for k, v in declared("strategy", job.config["strategy"]).items() if k not in given}
        parsed = planner.parse_space([f"{key}={text}" for key, text in texts.items()])
        return space | {override.get_key_element(): distribution(override) for override in parsed}

    def _study(self, run: SweepRun, fixed: list[str], space: dict[str, Any], label: str) -> Study:
        import optuna

        storage = optuna.storages.RDBStorage(f"sqlite:///{run.directory / STUDIES}")
        if run.rerun == "all" and label in optuna.get_all_study_names(storage):
            optuna.delete_study(study_name=label, storage=storage)
        study = optuna.create_study(
            study_name=label,
            storage=storage,
            direction=self.direction or DIRECTIONS[0],
            load_if_exists=True,
        )
        seed = self.seed + len(study.trials)  # or else a sampler that goes on would draw its first trials again
        study.sampler = getattr(optuna.samplers, SAMPLERS[self.sampler])(seed=seed)
        return Study(fixed, space, study, label)

    def _tune(self, planner: Planner, run: SweepRun, studies: Sequence[Study]) -> None:
        """Rounds of trials, of all studies at a time, until each has had its number; those cut short go on first."""
        while True:
            asked = [(study, trial) for study in studies for trial in self._ask(study)]
            if not asked:
                return
            jobs = [self._job(planner, study, trial) for study, trial in asked]
            first = {job.fingerprint: job for job in reversed(jobs)}  # trials with equal settings share one
            run.run([job for job in jobs if first[job.fingerprint] is job])
            for (study, trial), job in zip(asked, jobs, strict=True):
                self._report(study, trial, first[job.fingerprint])

    def _ask(self, study: Study) -> list[Any]:
        from optuna.trial import TrialState

        if not study.space:
            return []
        trials = study.study.trials
        over = [trial for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.FAIL)]
        running = [trial for trial in trials if trial.state == TrialState.RUNNING]
        if running:
            return running
        number = min(self.n_jobs, self.n_trials - len(over))
        return [study.study.ask(fixed_distributions=study.space) for _ in range(number)]

    def _job(self, planner: Planner, study: Study, trial: Any) -> Job:
        chosen = _overrides(trial.params)
        job = planner.job([*study.fixed, *chosen, f"seed={self.tuning_seed}", "test=false"])
        job.label = f"{job.label} · trial {trial.number}" + "".join(f" · {_short(override)}" for override in chosen)
        job.tags = {"hybridopt.role": "trial", "hybridopt.study": study.label}
        return job

    def _report(self, study: Study, trial: Any, job: Job) -> None:
        from optuna.trial import TrialState

        study.book(job)
        unknown = board.unknown_metric([job], self.master.sweep.metric)
        if unknown:
            raise ConfigError(unknown)
        value = board.summary(job.directory).get(self.master.sweep.metric, math.nan)
        if not job.refused and state(job.directory) == State.HALF_DONE:
            raise KeyboardInterrupt  # the launcher gave up: the trial goes on another time
        if math.isfinite(value):
            study.study.tell(trial.number, value)
        else:
            study.study.tell(trial.number, state=TrialState.FAIL)

    def _tell(self, run: SweepRun, studies: Sequence[Study]) -> None:
        """Keep the best settings, and what they have cost to find."""
        found = {
            study.label: {
                "best": study.best(),
                "value": study.study.best_value if study.best() else None,
                "trials": len(study.study.trials),
                "forwards": study.forwards,
            }
            for study in studies
        }
        path = run.directory / RESULTS
        path.write_text(yaml.safe_dump({"name": "optuna", "studies": found}, sort_keys=False), encoding="utf-8")
        run.record.tracker.log_artifact(path)
        for label, study in found.items():
            settings = " ".join(study["best"]) or "(nothing to tune)"
            print(
                f"best of {study['trials']} trials for {label}: {settings}, {self.master.sweep.metric} {study['value']}"
            )

    def _evaluate(self, planner: Planner, run: SweepRun, studies: Sequence[Study], seeds: Sequence[str]) -> None:
        """The best settings with fresh seeds; what tuning has cost is a tag of each run."""
        jobs = []
        for study in studies:
            tags = {
                "hybridopt.role": "evaluation",
                "hybridopt.tuning_trials": str(len(study.study.trials)),
                "hybridopt.tuning_forwards": f"{study.forwards:.0f}",
            }
            evaluated = plan(planner, [[*study.fixed, *study.best(), f"seed={seed}"] for seed in seeds])
            for job in evaluated:
                job.tags = tags
            jobs += evaluated
        if jobs:
            run.run(jobs)

    def _preview(self, planner: Planner, combinations: Any, spaces: Any, axes: Axes, run: SweepRun) -> None:
        """The trials at the combinations' defaults, which cost as much as others."""
        from hybridopt.sweep.preview import preview

        trials = [planner.job([*fixed, f"seed={self.tuning_seed}", "test=false"]) for fixed in combinations]
        for job, space in zip(trials, spaces, strict=True):
            told = ", ".join(f"{key}: {value}" for key, value in space.items()) or "nothing to tune"
            print(f"{job.label}: {self.n_trials if space else 0} trials over {told}")
        evaluated = plan(planner, [[*fixed, f"seed={seed}"] for fixed in combinations for seed in axes.seeds])
        times = [self.n_trials if space else 0 for space in spaces] + [1] * len(evaluated)
        preview([*trials, *evaluated], run, times)


@dataclass
class Axes:
    """What the user's overrides mean to a sweeper that tunes.

    Args:
        groups: fixed values, and those of config groups, which make combinations.
        searched: values to be searched.
        seeds: fresh seeds, for the evaluation.
    """

    groups: list[Override]
    searched: list[Override]
    seeds: list[str]

    @classmethod
    def of(cls, planner: Planner, overrides: Sequence[Override]) -> Axes:
        """Sort overrides."""
        axes = cls([], [], [])
        for override in overrides:
            if override.key_or_group == "seed":
                swept = override.is_sweep_override()
                axes.seeds += list(override.sweep_string_iterator()) if swept else [override.get_value_element_as_str()]
            elif override.is_sweep_override() and not planner.is_group(override):
                axes.searched.append(override)
            else:
                axes.groups.append(override)
        return axes


def distribution(override: Override) -> Any:
    """Optuna's distribution for a swept override; ``tag(log, ...)`` makes it logarithmic."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    swept = override.value()
    if isinstance(swept, IntervalSweep):
        whole = isinstance(swept.start, int) and isinstance(swept.end, int)
        return (IntDistribution if whole else FloatDistribution)(swept.start, swept.end, log="log" in swept.tags)
    if isinstance(swept, RangeSweep) and all(isinstance(v, int) for v in (swept.start, swept.stop, swept.step)):
        last = swept.start + (swept.stop - 1 - swept.start) // swept.step * swept.step
        return IntDistribution(swept.start, last, step=swept.step)
    return CategoricalDistribution(list(override.sweep_string_iterator()))


def declared(kind: str, config: Mapping[str, Any], path: str | None = None) -> dict[str, str]:
    """The search spaces that a plugin and those nested in it declare: key -> values in Hydra's grammar.

    Args:
        kind: of the plugin.
        config: its settings.
        path: where they are in the job's config.
    """
    path = path or kind
    try:
        plugin = registry.find(kind, registry.name_of(config))
        own = getattr(plugin.load(), "search_space", {})
    except (PluginError, KeyError):
        return {}
    found = {f"{path}.{key}": text for key, text in own.items()}
    for parameter in plugin.describe().parameters:
        value = config.get(parameter.name)
        if parameter.nested is not None and value is not None:
            for key, item in value.items() if parameter.many else [("", value)]:
                found |= declared(parameter.nested, item, ".".join(filter(None, (path, parameter.name, key))))
    return found


def _overrides(params: Mapping[str, Any]) -> list[str]:
    return [f"{key}={value!r}" if isinstance(value, float) else f"{key}={value}" for key, value in params.items()]


def _values(fixed: Sequence[str], varied: frozenset[str]) -> list[str]:
    return [override.partition("=")[2] for override in fixed if override.partition("=")[0] in varied]


def _short(override: str) -> str:
    """An override without the first part of its key, and with few digits."""
    key, _, value = override.partition("=")
    with suppress(ValueError):
        value = f"{float(value):.3g}"
    return f"{key.lstrip('+').split('.', 1)[-1]}={value}"
