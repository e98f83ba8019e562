"""What is written to a file is what is learned from: numbers, labels and decimals through .csv, .parquet and .npz."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from hybridopt.errors import DataError
from hybridopt.toolbox.files import Content, read_file

WORDS = ["NA", "None", "null", "n/a", "NaN", "nan", "NULL", "<NA>", "N/A", "none"]  # for missing values
TEXT = st.text(st.characters(blacklist_categories=["Cs", "Cc"]) | st.sampled_from(',";\n'), min_size=1, max_size=8)
LABELS = st.lists(st.sampled_from([*WORDS, "0", "1.5", "True"]) | TEXT, min_size=1, max_size=20)
WHOLE = st.integers(-(2**53), 2**53)
FLOATS = st.floats(-1e30, 1e30, allow_nan=False)
NUMBERS = st.lists(st.tuples(FLOATS, WHOLE, st.booleans()), min_size=1, max_size=20)
MANY = settings(max_examples=60, deadline=None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("formats")


def through(folder: Path, suffix: str, table: pd.DataFrame) -> Content:
    """A table of the columns "target" and others, written and read."""
    path = folder / f"table{suffix}"
    if suffix == ".csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path)
    return read_file(str(path), None, "target")


@MANY
@given(labels=LABELS, suffix=st.sampled_from([".csv", ".parquet"]))
def test_text_labels_are_kept_whatever_word_they_are(labels: list[str], suffix: str, folder: Path) -> None:
    labels = [*labels, "ant"]  # so that the column is one of text
    content = through(folder, suffix, pd.DataFrame({"a": range(len(labels)), "target": labels}))
    assert content.targets.labels().tolist() == labels


@MANY
@given(rows=NUMBERS, suffix=st.sampled_from([".csv", ".parquet"]))
def test_numbers_of_a_table_are_kept(rows: list[tuple], suffix: str, folder: Path) -> None:
    table = pd.DataFrame(rows, columns=["float", "whole", "bool"]).assign(target=0.5)
    inputs = through(folder, suffix, table).inputs.numbers()
    np.testing.assert_allclose(inputs, table[["float", "whole", "bool"]].to_numpy(np.float64), rtol=1e-15)


@MANY
@given(
    values=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20),
    suffix=st.sampled_from([".csv", ".parquet"]),
)
def test_whole_numbers_are_kept_to_the_last_digit(values: list[int], suffix: str, folder: Path) -> None:
    content = through(folder, suffix, pd.DataFrame({"a": values, "target": values}))
    assert content.inputs.whole_numbers()[:, 0].tolist() == values


@MANY
@given(values=st.lists(st.decimals(-(10**9), 10**9, places=2), min_size=1, max_size=20))
def test_decimals_are_numbers(values: list[Decimal], folder: Path) -> None:
    content = through(folder, ".parquet", pd.DataFrame({"a": values, "target": values}))
    assert content.targets.amounts()[:, 0].tolist() == [float(value) for value in values]
    assert content.inputs.numbers()[:, 0].tolist() == [float(value) for value in values]


@MANY
@given(
    inputs=arrays_of.arrays(
        st.sampled_from(["f4", "f8", "i4", "i8", "u1", "?"]),
        arrays_of.array_shapes(min_dims=1, max_dims=4, max_side=5),
        elements=st.integers(0, 1),
    ),
    data=st.data(),
)
def test_arrays_are_kept(inputs: np.ndarray, data: st.DataObject, folder: Path) -> None:
    count = len(inputs)
    labels = data.draw(st.lists(TEXT.filter(lambda text: "\0" not in text), min_size=count, max_size=count))
    np.savez(folder / "own.npz", inputs=inputs, target=np.array(labels))
    content = read_file(str(folder / "own.npz"), None, "target")
    read = content.inputs.numbers()
    assert np.array_equal(read.reshape(inputs.shape), inputs)
    assert np.array_equal(content.inputs.whole_numbers().reshape(inputs.shape), inputs)
    assert content.targets.labels().tolist() == labels


@MANY
@given(
    values=st.lists(st.integers(-99, 99) | st.floats(-9, 9), min_size=1, max_size=10),
    missing=st.lists(st.sampled_from(["", *WORDS]), min_size=1, max_size=5),
    order=st.randoms(),
)
def test_words_among_numbers_are_missing_values(values: list, missing: list[str], order, folder: Path) -> None:
    fields = [*map(str, values), *missing]
    order.shuffle(fields)
    rows = "".join(f"{field},{number}.5\n" for number, field in enumerate(fields))
    (folder / "holes.csv").write_text(f"a,target\n{rows}", encoding="utf-8")
    first = next(place for place, field in enumerate(fields) if field in missing)
    with pytest.raises(
        DataError, match=rf"missing .* in column 'a' \({len(missing)}, the first at \[{first}\]\): fill"
    ):
        read_file(str(folder / "holes.csv"), None, "target").inputs.numbers()


@pytest.mark.parametrize("word", ["", "NA", "None"])
def test_words_among_booleans_are_missing_values(word: str, folder: Path) -> None:
    (folder / "flags.csv").write_text(f"a,target\n1,True\n2,{word}\n3,false\n")
    with pytest.raises(DataError, match=r"missing .* in column 'target' \(1, the first at \[1\]\)"):
        read_file(str(folder / "flags.csv"), None, "target").targets.labels()


def test_an_empty_label_is_missing_beside_words(folder: Path) -> None:
    (folder / "kinds.csv").write_text("a,target\n1,None\n2,\n3,ant\n")
    with pytest.raises(DataError, match="no label in 1 of 3"):
        read_file(str(folder / "kinds.csv"), None, "target").targets.labels()


@pytest.mark.parametrize(
    ("values", "found"),
    [([1.0, 2.5], "2.5"), ([1.0, 2.0**54], "1.8014"), (np.array([1, 2**63], np.uint64), "9223372036854775808")],
)
def test_what_is_no_whole_number_is_named(values, found: str, folder: Path) -> None:
    np.savez(folder / "fractions.npz", inputs=np.asarray(values), target=np.arange(2))
    with pytest.raises(DataError, match=rf"dtype=int64 needs whole numbers, but array 'inputs' of .* has {found}"):
        read_file(str(folder / "fractions.npz"), None, "target").inputs.whole_numbers()
