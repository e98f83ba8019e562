"""The cluster with the fewest zeros (https://or.stackexchange.com/questions/7488): a table drawn, or a .csv."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from hybridopt import DataError, TensorDataModule
from hybridopt.toolbox import ranges
from hybridopt.toolbox.messages import brief
from hybridopt_combinatorial.exact.cluster_zeros import solve
from hybridopt_combinatorial.problem import NO_SPLIT, check_generated, instance_data

MEAN, DEVIATIONS = 10, (1, 5, 10, 10, 10)  # of the normal distribution whose absolute value a variable is
FACTOR = 2  # what is added to a factor's levels, so that they are told from ranks


def cluster_zeros(
    path: str | None = None,
    rows: int = 200,
    levels: int = 3,
    least_share: float = 0.05,
    instance_seed: int = 0,
    best_known: float | None = None,
    time_limit: float = 120.0,
) -> TensorDataModule:
    """Cluster zeros: an interval for each variable and levels for each factor, so that few cells left are zero.

    Of the table that is drawn, five variables are \\|N(10, d)\\|, with d of 1, 5, 10, 10 and 10, and five factors are
    uniform on their levels; then half of each column, at random, is set to zero, which is one more level of a factor.

    Args:
        path: a .csv table; columns of numbers are variables, the others factors, in which "0" is the zero. None draws.
        rows: how many are drawn.
        levels: of each factor that is drawn, besides "0".
        least_share: the least share of all rows that must be left; a single row without a zero is no cluster.
        instance_seed: fixes the draw.
        best_known: the share of zeros that gaps are measured to; None solves for the optimum, up to 200 rows.
        time_limit: seconds that this may take, after which, or for more rows, the gap is measured to a bound.

    Returns:
        One instance (rows, columns + 2) for training, validation and test alike: each variable's rank, from 0 to 1,
        each factor's level plus 2, the number of zeros in the row, and the fewest rows that must be left.

    Raises:
        ConfigError: a setting is out of range.
        DataError: the file cannot be read as a table.
    """
    check_generated(instance_seed, rows=(rows, 2), levels=(levels, 1))
    ranges.share("dataset", "(0, 1]", least_share=least_share)
    table = draw(rows, levels, instance_seed) if path is None else read(path)
    instance, legend = encode(table, least_share)
    size = sum(len(names) if factor else 2 for factor, names in legend.values())
    return instance_data("cluster_zeros", instance, size, "logits", solve, time_limit, best_known, legend)


cluster_zeros.conformance = {"expected_failures": {"splits_disjoint": NO_SPLIT}}


def draw(rows: int, levels: int, seed: int) -> pd.DataFrame:
    """A table of five variables and five factors."""
    random = np.random.default_rng(seed)
    table = {f"variable_{i + 1}": np.abs(random.normal(MEAN, d, rows)) for i, d in enumerate(DEVIATIONS)}
    table |= {f"factor_{i + 1}": random.integers(1, levels, rows, endpoint=True) for i in range(len(DEVIATIONS))}
    for name, values in table.items():
        values[random.permutation(rows)[: rows // 2]] = 0
        table[name] = values if name.startswith("v") else values.astype(str)
    return pd.DataFrame(table)


def read(path: str) -> pd.DataFrame:
    """The table of a .csv file."""
    file = Path(path).expanduser()
    try:
        table = pd.read_csv(file)
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise DataError(
            f"dataset.path is {path!r}, but {file.absolute()} cannot be read as a .csv table ({brief(error)})."
        ) from error
    if len(table) < 2:
        raise DataError(f"{file} must have at least two rows, but has {len(table)}.")
    if table.isna().any(axis=None):
        name = table.columns[table.isna().any()][0]
        raise DataError(f"{file} has missing values in column {name!r}: fill them in, or drop those rows.")
    return table


def encode(table: pd.DataFrame, least_share: float) -> tuple[np.ndarray, dict[str, tuple[bool, list]]]:
    """The instance, and each column's name -> (whether it is a factor, its distinct values in order)."""
    columns, legend, zeros = [], {}, np.zeros(len(table))
    for name, column in table.items():
        factor = not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)
        values, places = np.unique(column.astype(str) if factor else column, return_inverse=True)
        zeros += (values == ("0" if factor else 0))[places]
        columns.append(places + FACTOR if factor else middle_ranks(places))
        legend[str(name)] = (factor, values.tolist())
    fewest = np.ceil(least_share * len(table))
    return np.column_stack([*columns, zeros, np.full(len(table), fewest)]), legend


def middle_ranks(places: np.ndarray) -> np.ndarray:
    """Where each value stands among all of them, from 0 to 1; equal ones in the middle of theirs."""
    counts = np.bincount(places)
    return ((np.cumsum(counts) - counts / 2) / len(places))[places]
