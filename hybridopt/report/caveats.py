"""Threats to the validity of a comparison, one sentence each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from hybridopt.errors import counted, verb
from hybridopt.execution.contents import contents_of
from hybridopt.execution.divergence import BEYOND, FACTOR, GREW, mark_of
from hybridopt.report.runs import ComparedRun, Comparison
from hybridopt.report.said import odd_tags, said
from hybridopt.report.versions import before, conflicting, data_of, differing_contents, in_words, name_of
from hybridopt.tracking.provenance import differing_code
from hybridopt.tracking.reading import StoredRun

OVERSHOOT = 0.02  # of the budget; less is the last step's
NAMED = 5  # runs that are named one by one, and failures
SAID = 300  # characters of a failure; the page of the run has all


def notes(comparison: Comparison, planned: int | None = None) -> list[str]:
    """Sentences on what may mislead; none where there is nothing.

    Args:
        comparison: what is compared.
        planned: how many jobs the sweep has; None where nobody knows.
    """
    makers = (
        _missing,
        _odd,
        _diverged,
        _grown,
        _data,
        _contents,
        _unpaired,
        _tuning,
        _budgets,
        _overshoot,
        _machines,
        _gap,
    )
    return [note for make in makers for note in make(comparison, planned)]


def unfinished(comparison: Comparison, planned: int | None = None) -> list[str]:
    """Those of the sentences that say which runs are not there, or are worth nothing."""
    return [note for make in (_missing, _diverged, _grown) for note in make(comparison, planned)]


def _missing(comparison: Comparison, planned: int | None) -> Iterator[str]:
    for status in ("FAILED", "KILLED", "RUNNING", "SCHEDULED"):
        runs = [run for run in comparison.left_out if run.status == status]
        if runs:
            are, count = verb(len(runs), "is", "are"), verb(len(runs), "counts", "count")
            yield f"{len(runs)} of the runs {are} {status} and {count} for nothing here: {_by_failure(runs)}."
    there = sum(map(len, (comparison.results, comparison.left_out, comparison.trials, comparison.arms)))
    if planned is not None and there < planned:
        jobs = counted(planned, "job")
        yield f"{planned - there} of {jobs} left no run at all: the sweep's table of jobs, jobs.csv, says why."


def _odd(comparison: Comparison, _: int | None) -> Iterator[str]:
    runs = [run.record for run in (*comparison.results, *comparison.arms)]
    odd = {run.run_id: list(odd_tags(run)) for run in runs}
    if any(odd.values()):
        tags = ", ".join(sorted({tag for found in odd.values() for tag in found}))
        marked = [run for run in runs if odd[run.run_id]]
        have, are = verb(len(marked), "has", "have"), verb(len(marked), "is", "are")
        yield (
            f"{len(marked)} of the runs {have} tags that were taken away or changed ({tags}), and {are} compared "
            f"without what these said: {_names(marked)}."
        )


def _diverged(comparison: Comparison, _: int | None) -> Iterator[str]:
    for dataset in comparison.datasets:
        for strategy in comparison.strategies:
            count, runs = comparison.diverged(strategy, dataset), comparison.of(strategy, dataset).values()
            if count:
                named = _names([run.record for run in runs if run.diverged(comparison.metric)])
                yield (
                    f"On {dataset}, {count} of {counted(len(runs), 'run')} of {strategy} diverged to numbers that are "
                    f"not finite: each counts as the worst run on that data set ({named})."
                )


def _grown(comparison: Comparison, _: int | None) -> Iterator[str]:
    """Runs whose losses are finite still, and of no use."""
    runs = [run.record for run in (*comparison.results, *comparison.arms)]
    grown = [run for run in runs if (mark := mark_of(run.metrics)) is not None and mark.word == GREW]
    if grown:
        count = verb(len(grown), "counts as it is", "count as they are")
        yield (
            f"{len(grown)} of the runs ended with a loss that had grown to more than {FACTOR:,.0f} times its best, or "
            f"to more than {BEYOND:g}, which {count}: {_names(grown)}."
        )


def _data(comparison: Comparison, _: int | None) -> Iterator[str]:
    """Data sets of one name that are not the same data."""
    for name in dict.fromkeys(map(name_of, comparison.results)):
        runs = [run for run in comparison.results if name_of(run) == name]
        versions, unknown = {data_of(run) for run in runs} - {""}, sum(not data_of(run) for run in runs)
        if conflicting(runs):
            labels = Counter(r.dataset for r in runs).items()
            told = ", ".join(f"{label} ({counted(number, 'run')})" for label, number in labels)
            yield (
                f"There are {len(versions)} versions of the data under the name {name}: {told}. Each counts as a data "
                "set of its own, whose runs are paired with no others."
            )
        elif len(versions) > 1:
            yield f"On {name} the data differ between seeds ({len(versions)} versions): only equal seeds are paired."
        if versions and unknown:
            yield (
                f"Of {unknown} of {counted(len(runs), 'run')} on {name} it is not known which version of the data was "
                "read, since hybridopt did not keep that yet."
            )


def _contents(comparison: Comparison, _: int | None) -> Iterator[str]:
    """Strategies of one name that have read other files, or are of other packages."""
    runs = [replace(run, strategy=before(run)) for run in comparison.results]
    for strategy, names in differing_contents(runs).items():
        found = [contents_of(run.record.tags) for run in runs if run.strategy == strategy]
        for name in names:
            counts = Counter(in_words(name, each[name]) for each in found if name in each)
            listed = ", ".join(f"{text} ({number})" for text, number in counts.items())
            yield f"Runs of {strategy} do not compute the same, and are told apart: {listed}."


def _unpaired(comparison: Comparison, _: int | None) -> Iterator[str]:
    for dataset in comparison.datasets:
        seeds = {s: frozenset(comparison.of(s, dataset)) for s in comparison.strategies}
        there = {strategy: found for strategy, found in seeds.items() if found}
        if len(set(there.values())) > 1:
            told = ", ".join(f"{strategy} {len(found)}" for strategy, found in there.items())
            yield f"On {dataset} the strategies have not the same seeds ({told} of them): only common ones are paired."
        absent = [strategy for strategy, found in seeds.items() if not found]
        if absent:
            yield f"On {dataset} there is no finished run of {', '.join(absent)}."


def _tuning(comparison: Comparison, _: int | None) -> Iterator[str]:
    spent = {
        strategy: {int(said(run.record, "tuning_trials")) for run in _of(comparison, strategy)}
        for strategy in comparison.strategies
    }
    trials = {strategy: max(found) for strategy, found in spent.items() if found}
    if len(set(trials.values())) > 1:
        told = ", ".join(f"{strategy} {number}" for strategy, number in trials.items())
        yield f"The strategies were not tuned alike (trials: {told})."
    elif any(trials.values()):
        forwards = {s: _tuned(_of(comparison, s)) for s in comparison.strategies}
        told = ", ".join(f"{strategy} {spent:,.0f}" for strategy, spent in forwards.items())
        yield (
            f"Each strategy was tuned by {counted(max(trials.values()), 'trial')} on a data set; this cost, in "
            f"forwards: {told}. It is not in the curves."
        )


def _tuned(results: Sequence[ComparedRun]) -> float:
    by_dataset = {r.dataset: said(r.record, "tuning_forwards") for r in results}
    return sum(by_dataset.values())


def _budgets(comparison: Comparison, _: int | None) -> Iterator[str]:
    for dataset in comparison.datasets:
        ends = comparison.ends(dataset)
        if ends and not comparison.same_budget(dataset):
            yield (
                f"On {dataset} the runs have spent between {min(ends):,.0f} and {max(ends):,.0f} forwards: validation "
                "is compared at the smallest of these, and what came later is not looked at."
            )


def _overshoot(comparison: Comparison, _: int | None) -> Iterator[str]:
    for strategy in comparison.strategies:
        worst = max((r.record.metrics.get("cost/overshoot", 0.0) for r in _of(comparison, strategy)), default=0.0)
        if worst > OVERSHOOT:
            yield f"{strategy} has overshot its budget by up to {worst:.0%}: its steps are large for this budget."


def _machines(comparison: Comparison, _: int | None) -> Iterator[str]:
    runs = (*comparison.results, *comparison.arms)
    hosts = Counter(run.record.tags["hybridopt.host"] for run in runs if "hybridopt.host" in run.record.tags)
    if len(hosts) > 1:
        told = ", ".join(f"{name} ({number})" for name, number in sorted(hosts.items()))
        yield f"The runs come from different machines, so that seconds and memory do not compare: {told}."
    code = differing_code(run.record.tags["hybridopt.code"] for run in runs if "hybridopt.code" in run.record.tags)
    if code:
        yield f"The runs come from different versions of the code, so that differences may be the code's: {code}."


def _gap(comparison: Comparison, _: int | None) -> Iterator[str]:
    for strategy in comparison.strategies:
        for dataset in comparison.datasets:
            pairs = [_selected(r, comparison) for r in comparison.of(strategy, dataset).values()]
            gaps = [validation - test for validation, test in filter(None, pairs)]
            worse = np.median(gaps) if gaps else 0.0
            if gaps and (worse > 0) == comparison.higher and abs(worse) > 0.02:
                yield (
                    f"{strategy} on {dataset}: the test is worse than the final validation by {abs(worse):.3f} in the "
                    "median, as one must expect of what was selected on it."
                )


def _selected(result: ComparedRun, comparison: Comparison) -> tuple[float, float] | None:
    metrics = result.record.metrics
    names = f"final/val/{comparison.metric}", f"test/{comparison.metric}"
    return (metrics[names[0]], metrics[names[1]]) if all(name in metrics for name in names) else None


def _of(comparison: Comparison, strategy: str) -> list[ComparedRun]:
    return [result for result in comparison.results if result.strategy == strategy]


def _by_failure(runs: Sequence[StoredRun]) -> str:
    """Runs by name, with what they have failed of, once for all of those that say the same."""
    said: dict[str, list[StoredRun]] = {}
    for run in runs:
        said.setdefault(run.tags.get("hybridopt.failure", ""), []).append(run)
    told = [f"{_names(same)}{f' ({_brief(why)})' if why else ''}" for why, same in said.items()]
    more = len(told) - NAMED
    return "; ".join([*told[:NAMED], *([f"and {counted(more, 'other failure')}"] if more > 0 else [])])


def _brief(why: str) -> str:
    return (why if len(why) <= SAID else f"{why[: SAID - 1]}…").rstrip(".")


def _names(runs: Sequence[StoredRun]) -> str:
    named = ", ".join(run.name for run in runs[:NAMED])
    return named + (f" and {len(runs) - NAMED} more" if len(runs) > NAMED else "")
