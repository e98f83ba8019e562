"""Symmetric problems in TSPLIB's format (Reinelt 1991, https://doi.org/10.1287/ijoc.3.4.376), as its manual has it.

http://comopt.ifi.uni-heidelberg.de/software/TSPLIB95/tsp95.pdf. (The package tsplib95 wants a networkx of years ago.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from hybridopt import DataError
from hybridopt.toolbox.messages import options

Keys = dict[str, str]
Sections = dict[str, list[float]]


def read(path: str) -> tuple[np.ndarray, list[int] | None]:
    """Distances between cities.

    Args:
        path: the file, relative to the working directory.

    Returns:
        Distances (n, n), and the cities' numbers, or None where they have none.

    Raises:
        DataError: the file is not there, is no symmetric problem, or does not hold what it says.
    """
    file = Path(path).expanduser()
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DataError(f"dataset.path is {path!r}, but {file.absolute()} cannot be read ({reason}).") from error
    keys, sections = split(file, text)
    if keys.get("TYPE", "TSP").split()[0] != "TSP":
        raise DataError(f"{file} is of TYPE {keys['TYPE']}, but only symmetric problems, TYPE TSP, are read.")
    kind, n = keys.get("EDGE_WEIGHT_TYPE", ""), dimension(file, keys)
    if kind == "EXPLICIT":
        return explicit(file, keys, sections, n), None
    if kind not in DISTANCES:
        raise DataError(f"{file} has the EDGE_WEIGHT_TYPE {kind!r}.{options([*DISTANCES, 'EXPLICIT'], kind)}")
    labels, points = coordinates(file, sections, n)
    return zero_diagonal(DISTANCES[kind](points)), labels


def split(file: Path, text: str) -> tuple[Keys, Sections]:
    """The lines ``KEY : value``, and the numbers of each section."""
    keys, sections, current = {}, {}, None
    for number, line in enumerate(text.splitlines(), start=1):
        word = line.strip().rstrip(":").strip()
        if word == "EOF":
            break
        if not word or word == "-1":
            continue
        if word.endswith("_SECTION"):
            current = sections.setdefault(word, [])
        elif ":" in line:
            key, _, value = line.partition(":")
            keys[key.strip()] = value.strip()
        elif current is None:
            raise DataError(f"{file} has {line.strip()!r} in line {number}, where TSPLIB's format has KEY : value.")
        else:
            current.extend(numbers(file, number, line))
    return keys, sections


def numbers(file: Path, number: int, line: str) -> list[float]:
    """The numbers of a line."""
    try:
        values = [float(part) for part in line.split()]
    except ValueError:
        values = [np.nan]
    if not np.isfinite(values).all():
        raise DataError(f"{file} has {line.strip()!r} in line {number}, where numbers are expected.")
    return values


def dimension(file: Path, keys: Keys) -> int:
    """The number of cities."""
    given = keys.get("DIMENSION", "")
    if not (given.isdigit() and int(given) >= 2):
        raise DataError(
            f"{file} must say how many cities it has, DIMENSION : 2 or more, but says {given or 'nothing'!r}."
        )
    return int(given)


# -- cities by coordinates --------------------------------------------------------------------------------------------


def coordinates(file: Path, sections: Sections, n: int) -> tuple[list[int], np.ndarray]:
    """The cities' numbers, and their coordinates (n, 2)."""
    values = sections.get("NODE_COORD_SECTION", [])
    if len(values) != 3 * n:
        raise DataError(
            f"{file} must have {n} lines of a number and two coordinates in its NODE_COORD_SECTION, {3 * n} numbers, "
            f"but has {len(values)}: correct the section, or DIMENSION."
        )
    table = np.array(values).reshape(n, 3)
    labels = table[:, 0].astype(int).tolist()
    if len(set(labels)) < n:
        raise DataError(f"{file} has a city twice in its NODE_COORD_SECTION: give each one a number of its own.")
    return labels, table[:, 1:]


def nearest(values: np.ndarray) -> np.ndarray:
    """TSPLIB's nint: the whole number by adding one half and cutting off."""
    return np.floor(values + 0.5)


def straight(points: np.ndarray) -> np.ndarray:
    """Euclidean distances (n, n)."""
    return np.linalg.norm(points[:, None] - points[None], axis=-1)


def pseudo_euclidean(points: np.ndarray) -> np.ndarray:
    """ATT: a tenth of the square under the root, rounded up."""
    exact = np.sqrt((straight(points) ** 2) / 10)
    rounded = nearest(exact)
    return np.where(rounded < exact, rounded + 1, rounded)


def geographical(points: np.ndarray) -> np.ndarray:
    """GEO: kilometres on a sphere; coordinates are DDD.MM, latitude first. The manual's own radius and pi."""
    degrees = np.trunc(points)
    latitude, longitude = (3.141592 * (degrees + 5 * (points - degrees) / 3) / 180).T
    q1 = np.cos(longitude[:, None] - longitude)
    q2, q3 = np.cos(latitude[:, None] - latitude), np.cos(latitude[:, None] + latitude)
    angle = np.arccos(np.clip(((1 + q1) * q2 - (1 - q1) * q3) / 2, -1, 1))
    return np.floor(6378.388 * angle + 1)


DISTANCES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "EUC_2D": lambda points: nearest(straight(points)),
    "CEIL_2D": lambda points: np.ceil(straight(points)),
    "ATT": pseudo_euclidean,
    "GEO": geographical,
}


def zero_diagonal(distances: np.ndarray) -> np.ndarray:
    """The same distances, each city's to itself zero."""
    return distances * (1 - np.eye(len(distances)))


# -- distances by matrix ----------------------------------------------------------------------------------------------


def lower_rows(n: int, diagonal: bool) -> Iterator[tuple[int, int]]:
    """The places of a lower triangle, row by row."""
    return ((i, j) for i in range(n) for j in range(i + diagonal))


def upper_rows(n: int, diagonal: bool) -> Iterator[tuple[int, int]]:
    """The places of an upper triangle, row by row."""
    return ((i, j) for i in range(n) for j in range(i + (not diagonal), n))


TRIANGLES = {  # of a symmetric matrix, the columns of one triangle are the rows of the other
    "UPPER_ROW": (upper_rows, False),
    "LOWER_ROW": (lower_rows, False),
    "UPPER_DIAG_ROW": (upper_rows, True),
    "LOWER_DIAG_ROW": (lower_rows, True),
    "UPPER_COL": (lower_rows, False),
    "LOWER_COL": (upper_rows, False),
    "UPPER_DIAG_COL": (lower_rows, True),
    "LOWER_DIAG_COL": (upper_rows, True),
}


def explicit(file: Path, keys: Keys, sections: Sections, n: int) -> np.ndarray:
    """Distances (n, n) from an EDGE_WEIGHT_SECTION."""
    form, values = keys.get("EDGE_WEIGHT_FORMAT", ""), sections.get("EDGE_WEIGHT_SECTION", [])
    if form not in TRIANGLES and form != "FULL_MATRIX":
        raise DataError(f"{file} has the EDGE_WEIGHT_FORMAT {form!r}.{options([*TRIANGLES, 'FULL_MATRIX'], form)}")
    expected = n * n if form == "FULL_MATRIX" else n * (n + 1) // 2 if "DIAG" in form else n * (n - 1) // 2
    if len(values) != expected:
        raise DataError(
            f"{file} must have {expected} distances in its EDGE_WEIGHT_SECTION, as {form} of {n} cities, but has "
            f"{len(values)}: correct the section, EDGE_WEIGHT_FORMAT or DIMENSION."
        )
    distances = full(np.array(values), form, n)
    if not np.array_equal(distances, distances.T):
        i, j = np.argwhere(distances != distances.T)[0]
        raise DataError(
            f"{file} has the distance {distances[i, j]:g} from city {i + 1} to {j + 1} and {distances[j, i]:g} back, "
            "but only symmetric problems are read."
        )
    return zero_diagonal(distances)


def full(values: np.ndarray, form: str, n: int) -> np.ndarray:
    """The whole matrix, from itself or from a triangle."""
    if form == "FULL_MATRIX":
        return values.reshape(n, n)
    places, diagonal = TRIANGLES[form]
    rows, columns = np.array(list(places(n, diagonal))).T
    distances = np.zeros((n, n))
    distances[rows, columns] = distances[columns, rows] = values
    return distances
