"""Write two tasks of real text, passages of the standard library's docstrings, and a small network to learn them.

    python make_docstrings.py FOLDER

``pretraining.csv``: of eight packages, which one is a passage from? ``finetuning``: of other passages, are they from a
package that runs programs, or from one that reads and writes formats? 200 of them are to learn from. ``tiny``: a BERT
of two layers with random weights, and a tokeniser that knows the words of the first task.
"""

from __future__ import annotations

import argparse
import ast
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from hybridopt_transformers.examples import encoder_checkpoint

RUN = ("asyncio", "importlib", "logging", "multiprocessing", "unittest")
FORMATS = ("email", "http", "xml")
FEWEST = 6  # words of a passage
LABELLED = 200
FIRST = 1800  # passages to pretrain on
SIZES = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
SPREAD = 0.1  # of the first weights; BERT's own 0.02 is made for layers that are wider by far


def passages(package: str) -> Iterator[str]:
    """The paragraphs of a package's docstrings, those of its tests left out."""
    for file in sorted((Path(sysconfig.get_path("stdlib")) / package).rglob("*.py")):
        if {"test", "tests", "idle_test", "site-packages"} & set(file.parts):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old escapes in strings
            tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                for part in (ast.get_docstring(node) or "").split("\n\n"):
                    if len(part.split()) >= FEWEST:
                        yield " ".join(part.split())


def table() -> pd.DataFrame:
    """Passages and their packages, in random order; those that occur twice are left out."""
    rows = [(text, package) for package in (*RUN, *FORMATS) for text in passages(package)]
    frame = pd.DataFrame(rows, columns=["text", "label"]).drop_duplicates("text", keep=False)
    return frame.sample(frac=1, random_state=0)


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    (folder / "finetuning").mkdir(parents=True, exist_ok=True)
    whole = table()
    first, second = whole[:FIRST], whole[FIRST:].replace(dict.fromkeys(RUN, "run") | dict.fromkeys(FORMATS, "formats"))
    first.to_csv(folder / "pretraining.csv", index=False)
    parts = {"train": second[:LABELLED], "validation": second[LABELLED : 2 * LABELLED], "test": second[2 * LABELLED :]}
    for name, part in parts.items():
        part.to_csv(folder / "finetuning" / f"{name}.csv", index=False)
    encoder_checkpoint(folder / "tiny", first["text"], classes=len(RUN + FORMATS), **SIZES, initializer_range=SPREAD)
    print(f"{folder}: {len(first)} passages to pretrain on, {', '.join(f'{len(p)} {n}' for n, p in parts.items())}")


if __name__ == "__main__":
    main()
