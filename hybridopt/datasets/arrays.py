"""The user's own data: one .npz, .csv or .parquet file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from hybridopt.core.data import TensorDataModule
from hybridopt.toolbox.files import read_file
from hybridopt.toolbox.splits import split_arrays
from hybridopt.toolbox.tables import guessed_task


def arrays(
    path: str,
    target: str | list[str] = "target",
    inputs: str | list[str] | None = None,
    task: Literal["auto", "classification", "regression"] = "auto",
    standardise: bool = True,
    batch_size: int | None = 256,
    val_fraction: float = 0.2,
    test_fraction: float = 0.2,
    split_seed: int = 0,
) -> TensorDataModule:
    """Your own data from a .npz, .csv or .parquet file.

    A table has one sample per row; an .npz holds an array of inputs (N, ...) and one of targets (N,) or (N, outputs).
    Class labels may be text; they are numbered in sorted order.

    Args:
        path: the file, relative to the working directory.
        target: the column of the table (a list for several regression targets), or the key of the .npz.
        inputs: the columns, or the key; by default all other columns, or the key "inputs".
        task: "auto" takes text, booleans and few, often repeated whole numbers for classes, fractions and several
            columns for regression, and asks in between.
        standardise: bring the inputs (and regression targets) to mean 0 and variance 1 on the training set.
        batch_size: samples in a training batch; None for all of them.
        val_fraction: the share of all samples for validation.
        test_fraction: the share of all samples for the test.
        split_seed: fixes which sample goes where.

    Returns:
        Inputs float32 (N, ...); targets int64 (N,) for classes, float32 (N, outputs) for values.

    Raises:
        DataError: the file cannot be read, or its content cannot be learned from.
        ConfigError: a setting is out of range.
    """
    features, targets = read_file(path, inputs, target)
    found = guessed_task(targets) if task == "auto" else task
    return split_arrays(
        features.numbers(),
        targets.labels() if found == "classification" else targets.amounts(),
        found,
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        split_seed=split_seed,
        batch_size=batch_size,
        standardise=standardise,
    )


def _examples(folder: Path) -> list[dict[str, Any]]:
    """Settings of small files, written here, by which the conformance kit tries the data set."""
    rng = np.random.default_rng(0)
    classes = np.arange(90) % 3
    inputs = rng.normal(classes[:, None], size=(90, 4))
    table = pd.DataFrame(inputs, columns=list("abcd"))
    np.savez(folder / "own.npz", inputs=inputs, target=classes)
    table.assign(kind=classes.astype(str)).to_csv(folder / "own.csv", index=False)
    table.to_parquet(folder / "own.parquet")
    return [
        {"path": str(folder / "own.npz")},
        {"path": str(folder / "own.npz"), "task": "classification"},
        {"path": str(folder / "own.csv"), "target": "kind"},
        {"path": str(folder / "own.parquet"), "target": ["c", "d"], "inputs": ["a", "b"], "batch_size": 16},
        {"path": str(folder / "own.parquet"), "target": "d", "task": "regression"},
    ]


arrays.conformance = {"settings": _examples}
