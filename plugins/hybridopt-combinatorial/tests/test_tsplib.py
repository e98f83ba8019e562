"""TSPLIB files: each type by hand, the optimum of a famous one, and what is wrong with a file."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hybridopt_combinatorial import tsplib
from hybridopt_combinatorial.exact.tsp import solve
from hybridopt_combinatorial.tsp import tsp

from hybridopt import DataError

BURMA14 = """NAME: burma14
TYPE: TSP
COMMENT: 14-Staedte in Burma (Zaw Win)
DIMENSION: 14
EDGE_WEIGHT_TYPE: GEO
EDGE_WEIGHT_FORMAT: FUNCTION
DISPLAY_DATA_TYPE: COORD_DISPLAY
NODE_COORD_SECTION
   1  16.47       96.10
   2  16.47       94.44
   3  20.09       92.54
   4  22.39       93.37
   5  25.23       97.24
   6  22.00       96.05
   7  20.47       97.02
   8  17.20       96.29
   9  16.30       97.38
  10  14.05       98.12
  11  16.53       97.38
  12  21.52       95.59
  13  19.41       97.13
  14  20.09       94.55
EOF
"""
SHORTEST_BURMA14 = 3323  # as TSPLIB's list of optimal tours has it


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "problem.tsp"
        path.write_text(text)
        return str(path)

    return write


def by_coordinates(kind, rows, head=""):
    lines = [f"{i} {x} {y}" for i, (x, y) in enumerate(rows, start=1)]
    keys = f"NAME : x\n{head}DIMENSION : {len(rows)}\nEDGE_WEIGHT_TYPE : {kind}\nNODE_COORD_SECTION\n"
    return keys + "\n".join(lines) + "\nEOF\n"


def by_matrix(form, text, n=3):
    keys = f"TYPE : TSP\nDIMENSION : {n}\nEDGE_WEIGHT_TYPE : EXPLICIT\nEDGE_WEIGHT_FORMAT : {form}\n"
    return f"{keys}EDGE_WEIGHT_SECTION\n{text}\nEOF\n"


@pytest.mark.parametrize(
    ("kind", "other", "distance"),
    [
        ("EUC_2D", (1, 1), 1),  # 1.414
        ("EUC_2D", (1.5, 0), 2),  # a half goes up
        ("CEIL_2D", (1, 1), 2),
        ("CEIL_2D", (3, 4), 5),
        ("ATT", (10, 0), 4),  # the root of 10 is 3.16, whose nearest whole number is less
        ("ATT", (12, 0), 4),  # 3.79
        ("ATT", (0, math.sqrt(90)), 3),  # 3 is not less than 3
    ],
)
def test_distances_between_coordinates_are_rounded_as_the_manual_says(written, kind, other, distance):
    distances, labels = tsplib.read(written(by_coordinates(kind, [(0, 0), other])))
    assert distances.tolist() == [[0, distance], [distance, 0]]
    assert labels == [1, 2]


def test_a_minute_is_a_sixtieth_of_a_degree_on_the_manuals_sphere(written):
    distances, _ = tsplib.read(written(by_coordinates("GEO", [(0, 0), (0, 1), (0, 0.30), (-0.30, 0)])))
    degree = 6378.388 * 3.141592 / 180
    assert distances[0].tolist() == [0, math.floor(degree + 1), math.floor(degree / 2 + 1), math.floor(degree / 2 + 1)]


def test_burma14_has_its_published_shortest_tour(written):
    data = tsp(path=written(BURMA14))
    assert data.spec.reference.value == SHORTEST_BURMA14
    assert data.spec.reference.proven
    assert data.spec.legend["cities"] == list(range(1, 15))


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("FULL_MATRIX", "0 1 2\n1 0 3\n2 3 0"),
        ("UPPER_ROW", "1 2\n3"),
        ("LOWER_ROW", "1\n2 3"),
        ("UPPER_DIAG_ROW", "0 1 2\n0 3\n0"),
        ("LOWER_DIAG_ROW", "0\n1 0\n2 3 0"),
        ("UPPER_COL", "1\n2 3"),
        ("LOWER_COL", "1 2\n3"),
        ("UPPER_DIAG_COL", "0\n1 0\n2 3 0"),
        ("LOWER_DIAG_COL", "0 1 2\n0 3\n0"),
        ("LOWER_DIAG_ROW", "0 1 0 2\n 3 0"),  # lines may break anywhere
    ],
)
def test_every_form_of_a_matrix_says_the_same(written, form, text):
    distances, labels = tsplib.read(written(by_matrix(form, text)))
    assert distances.tolist() == [[0, 1, 2], [1, 0, 3], [2, 3, 0]]
    assert labels is None


def test_a_diagonal_that_is_not_zero_counts_for_nothing(written):
    distances, _ = tsplib.read(written(by_matrix("FULL_MATRIX", "9999 1 2\n1 9999 3\n2 3 9999")))
    assert np.diag(distances).tolist() == [0, 0, 0]
    assert solve(distances, 1).bound == 6


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must say how many cities it has"),
        ("DIMENSION : 1\nEDGE_WEIGHT_TYPE : EUC_2D\n", "DIMENSION : 2 or more, but says '1'"),
        ("hello\n", "has 'hello' in line 1, where TSPLIB's format has KEY : value"),
        (by_coordinates("EUC_2D", [(0, 0), (1, 1)], head="TYPE : ATSP\n"), "of TYPE ATSP, but only symmetric"),
        (by_coordinates("XRAY1", [(0, 0), (1, 1)]), "EDGE_WEIGHT_TYPE 'XRAY1'. Choose from: ATT, CEIL_2D, EUC_2D"),
        (by_coordinates("EUC_2D", [(0, 0), (1, "one")]), "has '2 1 one' in line 6, where numbers are expected"),
        (by_coordinates("EUC_2D", [(0, 0), (1, "inf")]), "has '2 1 inf' in line 6, where numbers are expected"),
        (by_coordinates("EUC_2D", [(0, 0), (1, 1)]).replace("2 1 1", "1 1 1"), "has a city twice"),
        (by_coordinates("EUC_2D", [(0, 0), (1, 1)]).replace(": 2", ": 3"), "9 numbers, but has 6"),
        (by_matrix("UPPER_ROW", "1 2"), "must have 3 distances in its EDGE_WEIGHT_SECTION, as UPPER_ROW of 3 cities"),
        (by_matrix("FUNCTION", "1 2"), "EDGE_WEIGHT_FORMAT 'FUNCTION'. "),
        (by_matrix("FULL_MATRIX", "0 1 2\n1 0 3\n2 4 0"), "distance 3 from city 2 to 3 and 4 back"),
    ],
)
def test_a_bad_file_is_refused_in_one_sentence(written, text, says):
    with pytest.raises(DataError, match=r"problem\.tsp") as refused:
        tsplib.read(written(text))
    assert says in str(refused.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"missing\.tsp cannot be read \(No such file"):
        tsp(path=str(tmp_path / "missing.tsp"))
