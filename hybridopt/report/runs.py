"""Runs of a sweep as results that can be compared."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hybridopt.execution.contents import contents_of
from hybridopt.report.said import NEEDED, said
from hybridopt.tracking.reading import StoredRun

if TYPE_CHECKING:
    from hybridopt.report.fronts import StoredFront

COMPARED = ("strategy", "encoding", "model", "objective", "budget", "oracle", "trainer", "threads")
UNITS = ("forwards", "seconds", "evaluations")
# what a comparison is about, unless the user says otherwise
PREFERRED = ("hypervolume", "accuracy", "r2", "return", "loss")


@dataclass
class ComparedRun:
    """One finished run.

    Args:
        strategy: its label; two settings of one strategy have two.
        dataset: its name.
        seed: what pairs runs of different strategies.
        record: as MLflow has it.
        curve: (forwards, metric) at the marks.
        seconds: (forwards, seconds of training) at the marks.
    """

    strategy: str
    dataset: str
    seed: str
    record: StoredRun
    curve: list[tuple[float, float]] = field(default_factory=list)
    seconds: dict[float, float] = field(default_factory=dict)

    @property
    def forwards(self) -> float:
        """What it has cost."""
        return self.record.metrics.get("cost/forwards", float("nan"))

    def at(self, budget: float) -> float | None:
        """The metric at the last mark within a budget in forwards."""
        within = [value for forwards, value in self.curve if forwards <= budget]
        return within[-1] if within else None

    def reached(self, target: float, higher: bool, budget: float) -> float | None:
        """The forwards at the first mark, within the budget, where the metric is at least as good as the target."""
        marks = ((f, v) for f, v in self.curve if f <= budget)
        return next((f for f, v in marks if (v >= target if higher else v <= target)), None)

    def diverged(self, metric: str) -> bool:
        """Whether the run has ended in numbers that are not finite, of the metric or of the loss.

        MLflow holds NaN as it is; an infinite value is not written to it, so that the metric is missing.
        """
        final = self.record.metrics.get(f"final/val/{metric}", self.curve[-1][1] if self.curve else math.nan)
        loss = self.record.metrics.get("final/val/loss", 0.0)
        return not (math.isfinite(final) and math.isfinite(loss))

    def phases(self) -> dict[str, float]:
        """The forwards at which each phase of a hybrid ended, but the last."""
        spent = {
            name.removeprefix("phase/").removesuffix("/forwards"): value
            for name, value in self.record.metrics.items()
            if name.startswith("phase/") and name.endswith("/forwards")
        }
        order = said(self.record, "phases")
        ends, total = {}, 0.0
        for name in order[:-1]:
            total += spent.get(name, 0.0)
            ends[name] = total
        return ends


@dataclass
class Comparison:
    """What is compared.

    Args:
        results: finished runs.
        metric: a validation metric, without ``val/``.
        higher: whether more of it is better.
        left_out: runs that have not finished, or that a later one of the same config replaces.
        trials: runs of tuning, which are not compared.
        arms: finished runs that are control arms of hybrids and nothing else: compared with these alone.
        fronts: of each run that has several objectives, by its id.
    """

    results: list[ComparedRun]
    metric: str
    higher: bool
    left_out: list[StoredRun] = field(default_factory=list)
    trials: list[StoredRun] = field(default_factory=list)
    arms: list[ComparedRun] = field(default_factory=list)
    fronts: Mapping[str, StoredFront] = field(default_factory=dict)

    @property
    def strategies(self) -> list[str]:
        """Labels, in the order of the runs."""
        return list(dict.fromkeys(result.strategy for result in self.results))

    @property
    def datasets(self) -> list[str]:
        """Names, in the order of the runs."""
        return list(dict.fromkeys(result.dataset for result in self.results))

    def of(self, strategy: str, dataset: str) -> dict[str, ComparedRun]:
        """The results of a strategy on a data set, by seed."""
        return {r.seed: r for r in self.results if (r.strategy, r.dataset) == (strategy, dataset)}

    def validation(self, strategy: str, dataset: str) -> dict[str, float]:
        """The metric at the last mark within the common budget, by seed; infinitely bad where a run has diverged."""
        limit = self.budget(dataset)
        return self._judged(strategy, dataset, lambda run: run.at(limit))

    def test(self, strategy: str, dataset: str) -> dict[str, float]:
        """The metric of the test, by seed, of runs that had one; infinitely bad where a run has diverged."""
        return self._judged(strategy, dataset, lambda run: run.record.metrics.get(f"test/{self.metric}"))

    def diverged(self, strategy: str, dataset: str) -> int:
        """How many runs have diverged."""
        return sum(run.diverged(self.metric) for run in self.of(strategy, dataset).values())

    def _judged(self, strategy: str, dataset: str, read: Callable[[ComparedRun], float | None]) -> dict[str, float]:
        worst = -math.inf if self.higher else math.inf
        runs = self.of(strategy, dataset)
        read_off = {seed: worst if run.diverged(self.metric) else read(run) for seed, run in runs.items()}
        return {seed: value for seed, value in read_off.items() if value is not None}

    def budget(self, dataset: str) -> float:
        """The forwards up to which runs on a data set compare: their ends, or the first end where budgets differ."""
        return (max if self.same_budget(dataset) else min)(self.ends(dataset), default=0.0)

    def ends(self, dataset: str) -> list[float]:
        """The forwards that each run on a data set has spent."""
        return [result.curve[-1][0] for result in self.results if result.dataset == dataset and result.curve]

    def same_budget(self, dataset: str) -> bool:
        """Whether all runs on a data set had the same budget, and have spent it, but for what the last step takes."""
        params = [result.record.params for result in self.results if result.dataset == dataset]
        given = {tuple(each.get(f"budget.{unit}", "None") for unit in UNITS) for each in params}
        limit = next(iter(given))[0] if len(given) == 1 else "None"
        return len(given) == 1 and (limit == "None" or min(self.ends(dataset), default=0.0) >= _number(limit))


def _number(text: str) -> float:
    """A parameter that is a number; nothing is at least as large as one that is none."""
    try:
        return float(text)
    except ValueError:
        return math.inf


def latest(records: Iterable[StoredRun]) -> tuple[list[StoredRun], list[StoredRun]]:
    """Finished runs, of each config, and what it names, the latest one; and all others."""
    chosen: dict[str, StoredRun] = {}
    others = []
    for record in records:
        key = _what(record) or record.run_id
        if record.status != "FINISHED":
            others.append(record)
            continue
        if key in chosen:
            others.append(chosen[key])
        chosen[key] = record
    return list(chosen.values()), [record for record in others if not _replaced(record, chosen)]


def _replaced(record: StoredRun, chosen: Mapping[str, StoredRun]) -> bool:
    """Whether a run of the same has finished, so that nobody misses this one."""
    return _what(record) in chosen


def _what(record: StoredRun) -> str:
    """What a run computes: its config, and the contents that this names; empty where that is not known."""
    mark, found = record.tags.get("hybridopt.fingerprint", ""), contents_of(record.tags)
    return f"{mark} {json.dumps(found, sort_keys=True)}" if mark and found else mark


def is_trial(record: StoredRun) -> bool:
    """Whether a run was made to tune settings."""
    return record.tags.get("hybridopt.role") == "trial"


def is_arm(record: StoredRun) -> bool:
    """Whether a run was made only as the control arm of a hybrid."""
    return record.tags.get("hybridopt.role") == "control"


def compared_runs(records: Sequence[StoredRun]) -> list[ComparedRun]:
    """Runs with labels that tell their settings apart."""
    differing = _differing(records)
    return [
        ComparedRun(
            _label(record, differing[said(record, "strategy")]), said(record, "dataset"), said(record, "seed"), record
        )
        for record in records
    ]


def choose_metric(records: Sequence[StoredRun], asked: str | None) -> tuple[str, bool]:
    """What is compared, and whether more of it is better.

    Args:
        records: finished runs.
        asked: the user's choice, with or without ``val/`` or ``test/``; None is the first of ``PREFERRED`` that all
            runs have.

    Raises:
        LookupError: the runs have no such metric in common; its text has those they have.
    """
    common = set.intersection(*_metrics_of(records))
    wanted = asked and _bare(asked)
    name = wanted or next((each for each in PREFERRED if each in common), None) or next(iter(sorted(common)), None)
    if name is None or name not in common:
        raise LookupError(", ".join(sorted(common)))
    directions = [said(record, "directions").get(f"val/{name}") for record in records]
    known = [direction for direction in directions if direction is not None]
    return name, bool(known[0]) if known else name != "loss"


def _metrics_of(records: Sequence[StoredRun]) -> list[set[str]]:
    """The validation metrics of each run, with those of other runs that it had too, but only as infinite numbers."""
    written = [{name for name in record.metrics if name.startswith("val/")} for record in records]
    known = set().union(*written)
    had = [known & said(record, "directions").keys() for record in records]
    return [{_bare(name) for name in names | more} for names, more in zip(written, had, strict=True)]


def _bare(metric: str) -> str:
    for prefix in ("final/val/", "best/val/", "val/", "test/"):
        metric = metric.removeprefix(prefix)
    return metric


def _differing(records: Sequence[StoredRun]) -> dict[str, list[str]]:
    """By strategy, the settings in which runs on the same data set with the same seed differ."""
    groups: dict[tuple[str, ...], list[StoredRun]] = defaultdict(list)
    for record in records:
        groups[tuple(said(record, tag) for tag in NEEDED)].append(record)
    keys: dict[str, set[str]] = defaultdict(set)
    for (strategy, *_), group in groups.items():
        for key in {key for record in group for key in record.params if key.split(".")[0] in COMPARED}:
            if len({record.params.get(key) for record in group}) > 1:
                keys[strategy].add(key)
    named = {strategy: {key for key in found if key.endswith("name")} for strategy, found in keys.items()}
    return defaultdict(list, {strategy: sorted(named[strategy] or found) for strategy, found in keys.items()})


def _label(record: StoredRun, keys: Sequence[str]) -> str:
    parts = [f"{_short(key)}={plain_number(str(record.params.get(key)))}" for key in keys]
    return " ".join([said(record, "strategy"), *parts])


def plain_number(text: str) -> str:
    """A setting as somebody would type it: 1e+09 for 1000000000.0; what is no such number as it is."""
    try:
        short = f"{float(text):g}"
    except ValueError:
        return text
    return short if len(short) < len(text) and float(short) == float(text) else text


def _short(key: str) -> str:
    return key.removesuffix(".name").removeprefix("strategy.")
