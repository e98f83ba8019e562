"""From arrays to a data module: split, standardise, make tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from hybridopt.core.data import TensorDataModule
from hybridopt.core.spec import DataSpec
from hybridopt.errors import ConfigError, DataError
from hybridopt.toolbox import ranges
from hybridopt.toolbox.weighting import WeightedDataModule, Weights

SETS = ("train", "val", "test")
LARGEST_SEED = 2**32 - 1  # numpy's

Arrays = tuple[np.ndarray, np.ndarray]
"""A pair of arrays, such as inputs and targets."""


def split_arrays(
    inputs: np.ndarray,
    targets: np.ndarray,
    task: str,
    *,
    val_fraction: float = 0.2,
    test_fraction: float = 0.2,
    split_seed: int,
    batch_size: int | None = 256,
    standardise: bool = True,
    dtype: torch.dtype = torch.float32,
    places: np.ndarray | None = None,
    weights: Weights | None = None,
    columns: Mapping[str, Sequence[str]] | None = None,
) -> TensorDataModule:
    """Cut arrays into a training, a validation and a test set.

    Classes are spread over the three sets in proportion. What standardisation subtracts and divides by is computed on
    the training set alone, so that nothing of the held-out sets leaks into it.

    Args:
        inputs: (N, ...) numbers.
        targets: (N,) class labels of any sortable kind, which are numbered in sorted order, or (N,) or (N, outputs)
            values.
        task: "classification" or "regression".
        val_fraction: the share of all samples for validation.
        test_fraction: the share of all samples for the test.
        split_seed: fixes which sample goes where.
        batch_size: samples in a training batch; None for all of them.
        standardise: bring inputs to mean 0 and variance 1: each feature of (F,) and of (T, F), each channel of
            (C, H, W). In regression the targets too, hence loss and metrics are in standard deviations. Inputs of an
            integer type stay as they are.
        dtype: of the inputs.
        places: (N,) the set of each sample, "train", "val" or "test", where it is given. A set that none is given for
            is drawn from the samples of "train"; its fraction is a share of these.
        weights: how much each training sample counts; validation and test are never weighted.
        columns: the names of the columns of "inputs" and "targets", where they have some.

    Returns:
        Inputs of ``dtype`` (N, ...); targets int64 (N,) for classes, float32 (N, outputs) for values. Its
        ``preprocessing()`` has means and scales, labels and names.

    Raises:
        ConfigError: a fraction, the seed or a weight is out of range.
        DataError: there are too few samples, a class has too few, or the targets are all the same.
    """
    places = np.full(len(inputs), SETS[0]) if places is None else places
    fractions = _of_drawn(val_fraction, test_fraction, places)
    check_seed(split_seed=split_seed)
    classes = task == "classification"
    encoded, labels = _encode(targets) if classes else (_as_columns(targets), [])
    output_size = len(labels) if classes else encoded.shape[1]
    parts = _parts(places, fractions, targets if classes else None, split_seed)
    input_sets, target_sets = [inputs[part] for part in parts], [encoded[part] for part in parts]
    input_sets, of_inputs = _scaled(input_sets, standardise and dtype.is_floating_point)
    target_sets, of_targets = (target_sets, {"classes": labels}) if classes else _scaled(target_sets, standardise)
    kind = torch.int64 if classes else torch.float32
    sets = [(_tensor(x, dtype), _tensor(y, kind)) for x, y in zip(input_sets, target_sets, strict=True)]
    train, val, test = sets
    spec = DataSpec(tuple(inputs.shape[1:]), output_size, task)
    named = {part: {"columns": list(names)} for part, names in (columns or {}).items()}
    of_inputs = {"dtype": str(dtype).removeprefix("torch."), **of_inputs}
    kept = {"inputs": named.get("inputs", {}) | of_inputs, "targets": named.get("targets", {}) | of_targets}
    if weights is None:
        return TensorDataModule(train, val, test, spec, batch_size, kept)
    drawn = weights.of(parts[0], targets if classes else None)
    return WeightedDataModule(train, val, test, spec, batch_size, drawn, kept)


def check_settings(val_fraction: float, test_fraction: float, split_seed: int) -> None:
    """Refuse fractions that leave a set empty, and seeds that numpy does not know.

    Raises:
        ConfigError: a setting is out of range.
    """
    check_fractions(val_fraction, test_fraction)
    check_seed(split_seed=split_seed)


def check_fractions(val_fraction: float, test_fraction: float) -> None:
    """Refuse fractions that leave a set empty.

    Raises:
        ConfigError: one is out of range.
    """
    if not (val_fraction > 0 and test_fraction > 0 and val_fraction + test_fraction < 1):
        raise ConfigError(
            "dataset.val_fraction and dataset.test_fraction must each be above 0 and together below 1, "
            f"but are {val_fraction} and {test_fraction}: write for example 0.2 for both."
        )


def check_seed(**seeds: int) -> None:
    """Refuse seeds of a data set that numpy does not know.

    Raises:
        ConfigError: one is out of range.
    """
    ranges.between("dataset", 0, LARGEST_SEED, **seeds)


def _encode(labels: np.ndarray) -> tuple[np.ndarray, list[Any]]:
    """Class numbers (N,) in sorted order of the labels, and these labels."""
    names, numbers = np.unique(labels, return_inverse=True)
    if len(names) < 2:
        raise DataError(
            f"Classification needs at least two classes, but the target holds only {names.tolist()}: "
            "choose another target or add samples of another class."
        )
    return numbers.reshape(-1), [_plain(name) for name in names.tolist()]


def _plain(label: Any) -> bool | int | float | str:
    """A label as a value that JSON has."""
    if isinstance(label, bytes):
        return label.decode(errors="replace")
    return label if isinstance(label, bool | int | float | str) else str(label)


def _as_columns(values: np.ndarray) -> np.ndarray:
    """Regression targets as (N, outputs)."""
    columns = values.reshape(len(values), -1)
    if (columns == columns[:1]).all():
        raise DataError(
            f"Regression needs targets that vary, but all {len(columns)} are the same: choose another target."
        )
    return columns


def _of_drawn(val_fraction: float, test_fraction: float, places: np.ndarray) -> tuple[float, float]:
    """The fractions for validation and test, 0 where the set is given."""
    val, test = (name in places for name in SETS[1:])
    if not (val or test):
        check_fractions(val_fraction, test_fraction)
    elif not val:
        ranges.share("dataset", "(0, 1)", val_fraction=val_fraction)
    elif not test:
        ranges.share("dataset", "(0, 1)", test_fraction=test_fraction)
    return 0.0 if val else val_fraction, 0.0 if test else test_fraction


def _parts(
    places: np.ndarray, fractions: tuple[float, float], labels: np.ndarray | None, seed: int
) -> list[np.ndarray]:
    """The numbers of the training, validation and test samples; a set with a fraction is drawn from those of "train",
    in proportion to the labels if there are any."""
    train, *held_out = (np.flatnonzero(places == name) for name in SETS)
    sizes = val, test = _sizes(len(train), *fractions)
    strata = None if labels is None else labels.reshape(-1)
    whole = train
    try:
        rest, drawn_test = cut(train, test, strata, seed) if test else (train, held_out[1])
        train, drawn_val = cut(rest, val, strata, seed) if val else (rest, held_out[0])
    except ValueError as error:  # scikit-learn's error where these classes cannot be spread over these sets
        raise error if strata is None else _cannot_spread(strata[whole], sizes) from error
    parts = [train, drawn_val, drawn_test]
    if strata is not None and len(np.unique(strata[train])) < len(np.unique(strata)):
        raise _cannot_spread(strata, sizes) if all(sizes) else _unlearned(strata, parts)
    return parts


def _unlearned(labels: np.ndarray, parts: list[np.ndarray]) -> DataError:
    """What is wrong where a held-out set has a class that the training set lacks."""
    known, *held_out = (np.unique(labels[part]) for part in parts)
    name, foreign = next(
        (name, new) for name, found in zip(SETS[1:], held_out, strict=True) if len(new := np.setdiff1d(found, known))
    )
    return DataError(
        f"The {name} set has samples of the class {foreign.tolist()[0]!r}, of which the training set has none: add "
        "training samples of that class, or leave it out."
    )


def _sizes(count: int, val_fraction: float, test_fraction: float) -> tuple[int, int]:
    """The number of samples to draw for validation and for the test, at least one where the fraction is above 0."""
    val, test = (max(1, round(count * fraction)) if fraction else 0 for fraction in (val_fraction, test_fraction))
    if count - val - test < 1:
        raise DataError(
            f"{count} samples cannot be split into a training, a validation and a test set by "
            f"dataset.val_fraction={val_fraction} and dataset.test_fraction={test_fraction}: "
            "give more samples or smaller fractions."
        )
    return val, test


def cut(rows: np.ndarray, size: int, labels: np.ndarray | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of rows in two parts, drawn at random: those that stay, and ``size`` that are taken.

    Args:
        rows: their numbers (n,).
        size: how many are taken.
        labels: the class of every sample, by its number, which both parts have in proportion; None for no classes.
        seed: fixes the draw.

    Raises:
        ValueError: the classes cannot be spread over these parts (:func:`too_few` is the sentence for it).
    """
    strata = None if labels is None else labels[rows]
    return cast(Arrays, tuple(train_test_split(rows, test_size=size, random_state=seed, stratify=strata)))


def too_few(labels: np.ndarray, parts: str, settings: str) -> DataError:
    """What is wrong where classes cannot be spread in proportion.

    Args:
        labels: the classes of all samples (N,).
        parts: over which they cannot be spread, in words.
        settings: that could be changed.
    """
    names, counts = np.unique(labels, return_counts=True)
    return DataError(
        f"{len(names)} classes, of which {names.tolist()[counts.argmin()]!r} has the fewest samples ({counts.min()}), "
        f"cannot be spread over {parts}: give each class more samples (5 are enough for most splits), drop the rare "
        f"ones, or change {settings}."
    )


def _cannot_spread(strata: np.ndarray, sizes: tuple[int, int]) -> DataError:
    """What is wrong where classes cannot be spread over the training set and what is drawn from it."""
    drawn = {name: size for name, size in zip(SETS[1:], sizes, strict=True) if size}
    words = {"val": "validation", "test": "test"}
    *parts, last = [f"{len(strata) - sum(sizes)} training", *(f"{size} {words[name]}" for name, size in drawn.items())]
    settings = " and ".join(f"dataset.{name}_fraction" for name in drawn)
    return too_few(strata, f"{', '.join(parts)} and {last} samples", settings)


def _scaled(sets: list[np.ndarray], standardise: bool) -> tuple[list[np.ndarray], dict[str, Any]]:
    """Sets (N, ...) with mean 0 and variance 1 on the first, where that is wanted, and what makes the same of a sample.

    What is constant there is only shifted.
    """
    if not standardise:
        return sets, {"mean": 0.0, "scale": 1.0}
    axis = 1 if sets[0].ndim > 3 else -1  # channels come first in images, features last in all else
    moved = [np.moveaxis(np.asarray(part, dtype=np.float64), axis, -1) for part in sets]
    scaler = StandardScaler().fit(_rows(moved[0]))
    mean, scale = cast(np.ndarray, scaler.mean_), cast(np.ndarray, scaler.scale_)
    scaled = [cast(np.ndarray, scaler.transform(_rows(part))) for part in moved]
    shape = (-1, *(1 for _ in sets[0].shape[2:])) if axis == 1 else (-1,)  # which broadcasts against one sample
    made = {"mean": mean.reshape(shape).tolist(), "scale": scale.reshape(shape).tolist()}
    return [np.moveaxis(rows.reshape(part.shape), -1, axis) for rows, part in zip(scaled, moved, strict=True)], made


def _rows(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1, values.shape[-1])


def _tensor(values: np.ndarray, dtype: torch.dtype) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(dtype)
