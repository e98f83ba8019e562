"""Results that are shipped: tables of runs as parquet, with where they come from, held by a digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hybridopt.core.study import Outcome, Results, Tuned
from hybridopt.errors import DataError, brief

ABOUT = b"hybridopt"  # the key of what parquet keeps beside the table
DIGESTS = "SHA256SUMS"  # beside the files: what each of them must be


def store(results: Results, path: Path) -> Path:
    """Write the runs of all arms as one table, and note its digest beside it.

    Args:
        results: without curves, which are left out.
        path: of the file, ending in ``.parquet``.
    """
    import pandas
    import pyarrow
    from pyarrow import parquet

    rows = [
        {"arm": arm, "seed": run.seed, "diverged": run.diverged, **run.metrics}
        for arm, runs in results.arms.items()
        for run in runs
    ]
    table = pyarrow.Table.from_pandas(pandas.DataFrame(rows), preserve_index=False)
    about = {"profile": results.profile, "settings": dict(results.settings), "provenance": dict(results.provenance)}
    about |= {"tuned": {arm: asdict(tuned) for arm, tuned in results.tuned.items()}}
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table.replace_schema_metadata({ABOUT: json.dumps(about)}), path)
    kept = _digests(path.parent) | {path.name: _digest(path)}
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(kept.items()))
    (path.parent / DIGESTS).write_text(lines, encoding="utf-8")
    return path


def stored(path: Path) -> Results:
    """The runs of such a file.

    Raises:
        DataError: it is not there, is not the one whose digest is noted beside it, or holds something else.
    """
    from pyarrow import parquet

    if not path.exists():
        raise DataError(f"There are no stored results at {path}: name another file, or run the whole study.")
    if _digests(path.parent).get(path.name) != _digest(path):
        raise DataError(
            f"{path} is not what {DIGESTS} beside it says, so that somebody has changed it: install the package that "
            "ships it once more, or name another file."
        )
    try:
        table = parquet.read_table(path)
        about = json.loads((table.schema.metadata or {})[ABOUT])
        arms: dict[str, list[Outcome]] = {}
        for row in table.to_pylist():
            arms.setdefault(row.pop("arm"), []).append(_outcome(row))
        tuned = {arm: Tuned(**each) for arm, each in about["tuned"].items()}
    except Exception as error:  # readers of files that are something else raise anything
        raise DataError(f"{path} holds no results of a study ({brief(error)}): name another file.") from error
    return Results(about["profile"], arms, tuned=tuned, settings=about["settings"], provenance=about["provenance"])


def _outcome(row: Mapping[str, Any]) -> Outcome:
    metrics = {name: float("nan") if value is None else float(value) for name, value in row.items()}
    seed, diverged = int(metrics.pop("seed")), bool(metrics.pop("diverged"))
    return Outcome(seed, metrics, diverged=diverged)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _digests(folder: Path) -> dict[str, str]:
    """What is noted in a folder; nothing where there is no such file."""
    try:
        lines = (folder / DIGESTS).read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
