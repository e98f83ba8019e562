"""Which rows are for training, validation and test."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations, product

import numpy as np
from datasets import Dataset, ReadInstruction, concatenate_datasets
from sklearn.model_selection import train_test_split

from hybridopt import ConfigError, DataError
from hybridopt.toolbox import ranges
from hybridopt.toolbox.splits import check_seed, cut, too_few
from hybridopt_huggingface.columns import Rows
from hybridopt_huggingface.source import Source

VALIDATION = ("validation", "valid", "val", "dev")  # how the sets on the hub call it
Span = tuple[str, int, int]  # rows from-to of a split


def check_settings(val_fraction: float, test_fraction: float, split_seed: int, limit: int | None) -> None:
    """Refuse fractions that leave a set empty, seeds that numpy does not know, and limits below one row.

    Raises:
        ConfigError: a setting is out of range.
    """
    ranges.share("dataset", "(0, 1)", val_fraction=val_fraction, test_fraction=test_fraction)
    check_seed(split_seed=split_seed)
    ranges.at_least("dataset", 1, limit=limit)


def chosen_splits(source: Source, train: str, val: str | None, test: str | None) -> dict[str, Dataset | None]:
    """The rows of each set as the source's own splits give them.

    Args:
        source: the splits there are.
        train: an expression such as "train", "train[:80%]" or "train+extra".
        val: the same; None takes the source's own validation split, if there is one.
        test: the same; None takes the source's own test split, if there is one.

    Returns:
        "train", "val" and "test"; None where the set must be carved out of the training rows.

    Raises:
        ConfigError: an expression cannot be read, or two of them share rows.
        DataError: a split has no rows.
    """
    names = source.splits
    own_name = next(iter(names)) if train == "train" and len(names) == 1 else train
    asked = {"train": own_name, "val": val, "test": test}
    spans = {name: _spans(source, name, text) for name, text in asked.items() if text is not None}
    _refuse_overlap(asked, spans)
    own = {
        "val": next((name for name in VALIDATION if name in names), None),
        "test": "test" if "test" in names else None,
    }
    for name, split in own.items():
        if name not in spans and split is not None and not _meeting([(split, 0, len(names[split]))], spans.values()):
            spans[name] = _spans(source, name, split)
    return {name: _rows(names, spans[name]) if name in spans else None for name in asked}


def _sizes(source: Source) -> str:
    return ", ".join(f"{name} ({len(rows)} rows)" for name, rows in source.splits.items())


def _spans(source: Source, name: str, text: str) -> list[Span]:
    lengths = {split: len(rows) for split, rows in source.splits.items()}
    try:
        absolute = ReadInstruction.from_spec(text).to_absolute(lengths)
    except (ValueError, AssertionError, TypeError, KeyError) as error:
        raise ConfigError(
            f"dataset.{name}_split={text!r} is no split of {source.name}: write one of {_sizes(source)}, a sum such as "
            f"train+validation, or a part, quoted for shell and Hydra: \"dataset.{name}_split='train[:80%]'\"."
        ) from error
    spans = [(part.splitname, part.from_, part.to) for part in absolute]
    if sum(stop - start for _, start, stop in spans) < 1:
        raise DataError(
            f"The {name} set is empty: dataset.{name}_split={text!r} has no rows, of {_sizes(source)} in {source.name}."
        )
    return spans


def _shared(one: Sequence[Span], other: Sequence[Span]) -> tuple[str, int] | None:
    """The first split of which both have rows, and how many."""
    for (a, start, stop), (b, begin, end) in product(one, other):
        common = min(stop, end) - max(start, begin)
        if a == b and common > 0:
            return a, common
    return None


def _meeting(spans: Sequence[Span], others: Iterable[Sequence[Span]]) -> bool:
    return any(_shared(spans, other) for other in others)


def _refuse_overlap(asked: Mapping[str, str | None], spans: Mapping[str, Sequence[Span]]) -> None:
    for one, other in combinations(spans, 2):
        if shared := _shared(spans[one], spans[other]):
            split, count = shared
            raise ConfigError(
                f"dataset.{one}_split={asked[one]!r} and dataset.{other}_split={asked[other]!r} share {count} rows of "
                f"the split {split!r}, and what is held out must not be trained on: give parts that do not meet, such "
                "as train[:80%] and train[80%:]."
            )


def _rows(splits: Mapping[str, Dataset], spans: Sequence[Span]) -> Dataset:
    parts = [splits[name].select(range(start, stop), keep_in_memory=True) for name, start, stop in spans]
    return parts[0] if len(parts) == 1 else concatenate_datasets(parts)


# -- drawing ----------------------------------------------------------------------------------------------------------


def drawn(
    rows: Mapping[str, Rows | None],
    strata: Callable[[Rows], np.ndarray | None],
    val_fraction: float,
    test_fraction: float,
    seed: int,
    limit: int | None,
) -> dict[str, Rows]:
    """The three sets: what there is none of is carved out of the training rows, then each is cut to the limit.

    Args:
        rows: "train", "val" and "test"; None where there is none.
        strata: the classes of rows (N,), which are spread in proportion, or None where there are none.
        val_fraction, test_fraction: shares of the training rows.
        seed: fixes the draw.
        limit: rows of each set at most.

    Raises:
        DataError: there are too few rows, or a class has too few.
    """
    sets = dict(rows)
    fractions = {"test": test_fraction, "val": val_fraction}
    wanted = {name: max(1, round(len(sets["train"]) * fractions[name])) for name in fractions if sets[name] is None}
    if sum(wanted.values()) >= len(sets["train"]):
        settings = " and ".join(f"dataset.{name}_fraction={fractions[name]}" for name in wanted)
        raise DataError(
            f"{len(sets['train'])} rows leave nothing to train on after {settings}: give more rows, or smaller "
            "fractions."
        )
    for name, size in wanted.items():
        whole = sets["train"]
        kept, taken = _cut(strata(whole), len(whole), size, f"dataset.{name}_fraction={fractions[name]}", seed)
        sets["train"], sets[name] = whole.taken(kept, "train"), whole.taken(taken, name)
    return sets if limit is None else {name: _limited(part, strata, limit, seed) for name, part in sets.items()}


def _cut(labels: np.ndarray | None, count: int, size: int, setting: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the rows that are kept, and of ``size`` rows that are taken; classes are spread in proportion."""
    try:
        kept, taken = cut(np.arange(count), size, labels, seed)
    except ValueError as error:  # these classes cannot be spread over these sets
        raise too_few(labels, f"{count - size} rows for training and {size} held out", setting) from error
    return np.sort(kept), np.sort(taken)


def _limited(rows: Rows, strata: Callable[[Rows], np.ndarray | None], limit: int, seed: int) -> Rows:
    """At most ``limit`` rows, drawn at random (many sets are sorted by class), in their order."""
    if limit >= len(rows):
        return rows
    labels = strata(rows)
    labels = labels if labels is not None and _spreads(labels, limit) else None
    taken, _ = train_test_split(np.arange(len(rows)), train_size=limit, random_state=seed, stratify=labels)
    return rows.taken(np.sort(taken), rows.name)


def _spreads(labels: np.ndarray, limit: int) -> bool:
    """Whether scikit-learn can draw ``limit`` rows in proportion to their classes."""
    names, counts = np.unique(labels, return_counts=True)
    return counts.min() >= 2 and min(limit, len(labels) - limit) >= len(names)
