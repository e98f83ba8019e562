"""The user's own data: .npz, .csv or .parquet files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch

from hybridopt.core.data import TensorDataModule
from hybridopt.errors import ConfigError, DataError
from hybridopt.toolbox import ranges
from hybridopt.toolbox.files import Content, is_archive, read_file
from hybridopt.toolbox.splits import SETS, split_arrays
from hybridopt.toolbox.tables import Part, guessed_task
from hybridopt.toolbox.weighting import Weights

DTYPES = {"auto": torch.float32, "float32": torch.float32, "int64": torch.int64}
CHANNELS = (1, 3, 4)  # that an image usually has


def arrays(
    path: str,
    target: str | list[str] = "target",
    inputs: str | list[str] | None = None,
    test_path: str | None = None,
    split: str | None = None,
    task: Literal["auto", "classification", "regression"] = "auto",
    dtype: Literal["auto", "float32", "int64"] = "auto",
    channels: Literal["auto", "first", "last"] = "auto",
    standardise: bool | None = None,
    class_weights: str | dict[str, float] | None = None,
    sample_weight: str | None = None,
    batch_size: int | None = 256,
    val_fraction: float = 0.2,
    test_fraction: float = 0.2,
    split_seed: int = 0,
) -> TensorDataModule:
    """Your own data from a .npz, .csv or .parquet file.

    A table has one sample per row; an .npz holds an array of inputs (N, ...) and one of targets (N,) or (N, outputs).
    Class labels may be text; they are numbered in sorted order. In a .csv, "NA", "None" and the like are labels in a
    column of text, and missing values in one of numbers; an empty field is missing in both.

    Weighted samples are drawn more often into the training batches, whatever the objective and the strategy, and the
    training loss is that of these batches. Validation and test are never weighted.

    Args:
        path: the file, relative to the working directory.
        target: the column of the table (a list for several regression targets), or the key of the .npz. A name with
            spaces or brackets has quotes of its own: 'dataset.target="Price ($)"'.
        inputs: the columns, or the key; by default all other columns, or the key "inputs".
        test_path: a file of the same form with the test set; of the first file, nothing is then held out for it.
        split: a column, or key, that says "train", "val" or "test" for each sample. A set that it leaves out is drawn
            from the training samples.
        task: "auto" takes text, booleans and few, often repeated whole numbers for classes, fractions and several
            columns for regression, and asks in between.
        dtype: of the inputs; "int64" keeps whole numbers, such as tokens for an embedding; "auto" is float32.
        channels: where images have their channels, in an array (N, C, H, W) or (N, H, W, C); they are brought to the
            front. "auto" takes them to be there, and asks where they seem to be last.
        standardise: bring the inputs (and regression targets) to mean 0 and variance 1 on the training set; by default
            all but inputs of dtype=int64.
        class_weights: "balanced" lets each class count the same; {label: weight} says how much, 1 for one left out.
        sample_weight: a column, or key, that says how much each training sample counts.
        batch_size: samples in a training batch; None for all of them.
        val_fraction: the share of all samples for validation; with test_path or split, of those that are for training
            otherwise.
        test_fraction: the share of all samples for the test, likewise.
        split_seed: fixes which sample goes where.

    Returns:
        Inputs float32 or int64 (N, ...); targets int64 (N,) for classes, float32 (N, outputs) for values.

    Raises:
        DataError: the file cannot be read, or its content cannot be learned from.
        ConfigError: a setting is out of range.
    """
    ranges.one_of("dataset", DTYPES, dtype=dtype)
    ranges.one_of("dataset", ("auto", "first", "last"), channels=channels)
    if standardise and dtype == "int64":
        raise ConfigError(
            "dataset.dtype=int64 keeps whole numbers, which dataset.standardise=true would make fractions of: "
            "leave one of them out."
        )
    content = read_file(path, inputs, target, {"split": split, "sample_weight": sample_weight})
    test = None if test_path is None else _test_set(path, test_path, content)
    found = guessed_task(content.targets) if task == "auto" else task
    sets = [content] if test is None else [content, test]
    return split_arrays(
        _joined([_inputs(part.inputs, dtype, channels) for part in sets], "inputs"),
        _joined([_targets(part.targets, found) for part in sets], "targets"),
        found,
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        split_seed=split_seed,
        batch_size=batch_size,
        standardise=standardise is not False,
        dtype=DTYPES[dtype],
        places=_places(content, test),
        weights=_weights(class_weights, content),
        columns={
            name: list(part.columns)
            for name, part in (("inputs", content.inputs), ("targets", content.targets))
            if not is_archive(path)
        },
    )


def _test_set(path: str, test_path: str, content: Content) -> Content:
    """What the file for the test holds of what the first one does."""
    if Path(path).expanduser().resolve() == Path(test_path).expanduser().resolve():
        raise ConfigError(
            f"dataset.path and dataset.test_path are both {path!r}, so that the test would be on what was learned: "
            "give a file of other samples, or leave dataset.test_path out."
        )
    if is_archive(path) != is_archive(test_path):
        raise ConfigError(
            f"dataset.path={path} and dataset.test_path={test_path} must both be tables (.csv, .parquet) or both "
            ".npz: write one in the form of the other."
        )
    inputs, target = list(content.inputs.columns), list(content.targets.columns)
    if is_archive(path):
        return read_file(test_path, inputs[0], target[0], setting="test_path")
    return read_file(test_path, inputs, target, setting="test_path")


def _inputs(part: Part, dtype: str, channels: str) -> np.ndarray:
    """Numbers (N, ...), images with their channels first."""
    values = part.whole_numbers() if dtype == "int64" else part.numbers()
    if values.ndim != 4 or channels == "first":
        return values
    if channels == "last":
        return np.moveaxis(values, -1, 1)
    _, first, *_, last = values.shape
    if last in CHANNELS and first not in CHANNELS:
        raise DataError(
            f"The {part} has the shape {values.shape}, which looks like images (samples, height, width, channels), "
            "but channels must come before height: say dataset.channels=last to bring them there, or "
            "dataset.channels=first if the shape is right."
        )
    return values


def _targets(part: Part, task: str) -> np.ndarray:
    return part.labels() if task == "classification" else part.amounts()


def _joined(arrays: list[np.ndarray], what: str) -> np.ndarray:
    """The samples of the first file, then those of the test file."""
    shapes = [array.shape[1:] for array in arrays]
    if shapes[0] != shapes[-1]:
        raise DataError(
            f"The {what} of dataset.path have the shape {shapes[0]} for each sample, those of dataset.test_path "
            f"{shapes[-1]}: give both the same."
        )
    return np.concatenate(arrays)


def _places(content: Content, test: Content | None) -> np.ndarray | None:
    """The set of each sample (N,), "train" where nobody has said so; None where all are to be drawn."""
    said = content.others.get("split")
    if said is None and test is None:
        return None
    count = len(next(iter(content.targets.columns.values())))
    places = np.full(count, SETS[0]) if said is None else _said(said)
    if test is None:
        return places
    if SETS[2] in places:
        raise ConfigError(
            f"dataset.test_path is for the test, but so are samples that the {said} calls 'test': take one of them."
        )
    return np.append(places, np.full(len(next(iter(test.targets.columns.values()))), SETS[2]))


def _said(part: Part) -> np.ndarray:
    """What the column for dataset.split says (N,)."""
    values = part.joined()
    words = np.where(pd.isna(values), "", values.astype(str))
    odd = sorted({str(word) for word in np.unique(words)} - set(SETS))
    if words.shape[1:] != (1,) or odd:
        raise DataError(
            f"dataset.split needs 'train', 'val' or 'test' for each sample, but the {part} has "
            f"{', '.join(map(repr, odd[:3])) or f'the shape {words.shape}'}: write one of these words for it."
        )
    if SETS[0] not in words:
        raise DataError(f"The {part} calls no sample 'train': there must be some to learn from.")
    return words[:, 0]


def _weights(classes: Any, content: Content) -> Weights | None:
    """What makes samples count; None where all count the same."""
    said = content.others.get("sample_weight")
    if said is None:
        return None if classes is None else Weights(classes)
    numbers = said.numbers()
    if numbers.shape[1:] != (1,):
        raise DataError(f"dataset.sample_weight needs one number per sample, but the {said} has {numbers.shape}.")
    return Weights(classes, numbers[:, 0])


def _examples(folder: Path) -> list[dict[str, Any]]:
    """Settings of small files, written here, by which the conformance kit tries the data set."""
    rng = np.random.default_rng(0)
    classes = np.arange(90) % 3
    inputs = np.round(100 * rng.normal(classes[:, None], size=(90, 4)))  # whole, for dtype=int64
    table = pd.DataFrame(inputs, columns=list("abcd"))
    np.savez(folder / "own.npz", inputs=inputs, target=classes)
    table.assign(kind=classes.astype(str)).to_csv(folder / "own.csv", index=False)
    table.to_parquet(folder / "own.parquet")
    return [
        {"path": str(folder / "own.npz")},
        {"path": str(folder / "own.npz"), "task": "classification"},
        {"path": str(folder / "own.csv"), "target": "kind"},
        {"path": str(folder / "own.csv"), "target": "kind", "class_weights": "balanced", "batch_size": 16},
        {"path": str(folder / "own.parquet"), "target": ["c", "d"], "inputs": ["a", "b"], "batch_size": 16},
        {"path": str(folder / "own.parquet"), "target": "d", "task": "regression"},
    ]


arrays.conformance = {"settings": _examples}
