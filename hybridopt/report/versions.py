"""Runs of one name that are not of the same: other data, other files, or plugins of other packages.

They are told apart by their names, so that nothing pairs or averages them as if they were the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from hybridopt.execution.contents import DATA, FILE_OF, PLUGIN_OF, contents_of
from hybridopt.report.runs import ComparedRun, Comparison

SHOWN = 8  # digits of a digest
DATASETS = (f"{FILE_OF}dataset.", f"{PLUGIN_OF}dataset")  # what these decide is seen by the data themselves


def told_apart(comparison: Comparison) -> Comparison:
    """The same, with other names for runs of one name and seed that differ in their data, or in what else they read.

    Data that differ between seeds alone are one data set, whose runs are paired by seed.
    """
    runs = [*comparison.results, *comparison.arms]
    names = {name: _names(name, [run for run in runs if name_of(run) == name]) for name in set(map(name_of, runs))}

    def renamed(some: Sequence[ComparedRun]) -> list[ComparedRun]:
        named = [replace(run, dataset=names[name_of(run)].get(data_of(run), run.dataset)) for run in some]
        differing = differing_contents(named)
        return [replace(run, strategy=_strategy(run, differing.get(run.strategy, ()))) for run in named]

    return replace(comparison, results=renamed(comparison.results), arms=renamed(comparison.arms))


def name_of(run: ComparedRun) -> str:
    """The data set's name as it was typed."""
    return run.record.tags.get("hybridopt.dataset", run.dataset)


def data_of(run: ComparedRun) -> str:
    """What tells the data of a run from others; empty where it was not kept."""
    return run.record.tags.get(f"hybridopt.{DATA}", "")


def differing_contents(runs: Sequence[ComparedRun]) -> dict[str, list[str]]:
    """By strategy, the files and places of plugins in which runs on the same data set with the same seed differ."""
    groups: dict[tuple[str, str, str], list[Mapping[str, str]]] = defaultdict(list)
    for run in runs:
        groups[run.strategy, run.dataset, run.seed].append(contents_of(run.record.tags))
    found: dict[str, set[str]] = defaultdict(set)
    for (strategy, *_), group in groups.items():
        for name in {name for each in group for name in each if not name.startswith(DATASETS)}:
            if len({each[name] for each in group if name in each}) > 1:
                found[strategy].add(name)
    return {strategy: sorted(names) for strategy, names in found.items()}


def in_words(name: str, value: str) -> str:
    """A file's digest, or the package of a plugin, in words."""
    place = name.partition(" ")[2]
    return f"{place} of {value}" if name.startswith(PLUGIN_OF) else f"{place} {value[:SHOWN]}"


def before(run: ComparedRun) -> str:
    """The name of a run's strategy, as it was before it was told apart."""
    label = run.strategy
    endings = [f", {in_words(name, value)}" for name, value in contents_of(run.record.tags).items()]
    while ending := next((each for each in endings if label.endswith(each)), ""):
        label = label.removesuffix(ending)
    return label


def conflicting(runs: Iterable[ComparedRun]) -> bool:
    """Whether runs with one seed have read different data."""
    by_seed: dict[str, set[str]] = defaultdict(set)
    for run in runs:
        by_seed[run.seed] |= {data_of(run)} - {""}
    return any(len(versions) > 1 for versions in by_seed.values())


def _names(name: str, runs: Sequence[ComparedRun]) -> dict[str, str]:
    """A name for each version of the data: by the settings in which they differ, or else by their digests."""
    if not conflicting(runs):
        return {}
    settings = {key for run in runs for key in run.record.params if key.startswith("dataset.")}
    keys = sorted(key for key in settings if _varies(runs, key))
    values: dict[str, set[tuple[str | None, ...]]] = defaultdict(set)
    for run in runs:
        values[data_of(run)].add(tuple(run.record.params.get(key) for key in keys))
    single = [next(iter(found)) for found in values.values() if len(found) == 1]
    if keys and len(set(single)) == len(values):
        pairs = {version: zip(keys, *found, strict=True) for version, found in values.items()}
        return {
            version: " ".join([name, *(f"{key.removeprefix('dataset.')}={value}" for key, value in each)])
            for version, each in pairs.items()
        }
    return {version: f"{name} (data {version[:SHOWN] or 'unknown'})" for version in values}


def _varies(runs: Sequence[ComparedRun], key: str) -> bool:
    return len({run.record.params.get(key) for run in runs}) > 1


def _strategy(run: ComparedRun, names: Iterable[str]) -> str:
    found = contents_of(run.record.tags)
    return ", ".join([run.strategy, *(in_words(name, found[name]) for name in names if name in found)])
