"""What a run or a sweep has left, without what depends on the clock, and in what two of them differ."""

from __future__ import annotations

import csv
import json
import pickle
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from hybridopt.execution.identity import CHECKSUM

TIMED = ("seconds", "wall_seconds", "peak_memory_mb")  # how the names of numbers end that no two runs share
OWN = {"run_id", "review", "hybridopt.key", "config_sha256", "sha256"}  # what is each run's own
OWN |= {"journal", "hybridopt_journal"}  # how far it had come, which lengthens with each time that the run goes on
LOOPS = "loops"  # Lightning's count of batches, several of which pass at a time, as many as the clock allows
LOGS = {"hybridopt.log", "said.txt"}
UPLOADING = ".artifact.uploading."  # what MLflow's own upload leaves where it is killed
GONE_IN_THE_END = ("*.partial", "*.new", "run.key", "traceback.txt")


def left(folder: Path) -> dict[str, Any]:
    """All that a command has left in the folder in which it was typed, by what it is.

    Args:
        folder: with the store, ``mlflow.db``, and directories of runs below it.
    """
    found: dict[str, Any] = {"files": files(folder)}
    for config in sorted(folder.rglob("config.yaml")):
        if {".hydra", "mlruns"}.isdisjoint(config.parts):
            found |= {
                f"{config.parent.relative_to(folder)}: {what}": it for what, it in directory(config.parent, folder)
            }
    found |= {f"table {path.parent.name}": table(path) for path in folder.glob("multirun/*/jobs.csv")}
    store = folder / "mlflow.db"
    return found | ({f"MLflow: {name}": it for name, it in stored(store, folder)} if store.exists() else {})


def files(folder: Path) -> list[str]:
    """The names of all files of runs and sweeps, and of no others."""
    names = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(
        str(name)
        for name in names
        if name.parts[0] not in ("mlruns", "state") and name.name not in LOGS and "mlflow.db" not in name.name
        and ".hydra" not in name.parts
        and "outputs" not in name.parts
    )  # fmt: skip


def directory(place: Path, folder: Path) -> Iterator[tuple[str, Any]]:
    """What lies in a run's directory, by what it is."""
    lines = (place / "config.yaml").read_text().replace(str(folder), "").splitlines()
    yield "config", [line for line in lines if not line.startswith(CHECKSUM)]
    if (place / "result.json").exists():
        yield "result", untimed(json.loads((place / "result.json").read_text()), folder)
    if (place / "journal.jsonl").exists():
        yield "journal", journal(place / "journal.jsonl", folder)
    if (place / "checkpoints" / "last.ckpt").exists():
        yield "checkpoint", checkpoint(place / "checkpoints" / "last.ckpt", folder)
    for litter in GONE_IN_THE_END:
        yield litter, sorted(path.name for path in place.rglob(litter))


def checkpoint(path: Path, folder: Path) -> Any:
    """What a checkpoint holds, or the word "damaged"."""
    try:
        return untimed(torch.load(path, weights_only=True), folder)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError):
        return "damaged"


def journal(path: Path, folder: Path) -> dict[str, Any]:
    """What a journal says: each (metric, step) with its value and how often, params, files, the last status."""
    rows = list(readable(path))
    points = Counter(
        (name, row["step"], None if timed(name) else str(value))
        for row in rows
        if row["kind"] == "metrics"
        for name, value in row["values"].items()
    )
    params = [row["values"] for row in rows if row["kind"] == "params"]
    return {
        **each_once(points),
        "params": untimed(params[-1] if params else {}, folder),
        "artifacts": sorted({row["path"] for row in rows if row["kind"] == "artifact"}),
        "status": [row["status"] for row in rows if row["kind"] == "status"][-1:],
    }


def readable(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a journal, without one that is damaged so that it is no JSON."""
    for line in path.read_bytes().splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        yield row


def each_once(points: Counter[tuple]) -> dict[str, Any]:
    """The points, and those that are there twice."""
    doubled = [point for point, times in points.items() if times > 1]
    return {"points": set(points), "doubled": doubled}


def untimed(value: Any, folder: Path) -> Any:
    """A tree of values without what depends on the clock or the folder, and tensors as types, shapes and bytes."""
    if isinstance(value, Mapping):
        kept = {key: inner for key, inner in value.items() if not timed(str(key)) and str(key) not in {*OWN, LOOPS}}
        return {str(key): untimed(inner, folder) for key, inner in kept.items()}
    if isinstance(value, (list, tuple)):
        return [untimed(inner, folder) for inner in value]
    if isinstance(value, torch.Tensor):
        plain = value.detach().contiguous()
        return str(plain.dtype), tuple(plain.shape), plain.reshape(-1).view(torch.uint8).numpy().tobytes()
    return str(value).replace(str(folder), "") if isinstance(value, (str, Path)) else repr(value)


def timed(name: str) -> bool:
    """Whether a number depends on the clock, or on the process."""
    return not set(name.split("/")).isdisjoint(TIMED)


def table(path: Path) -> dict[str, Any]:
    """The table of a sweep: each job once, and whether it has come to an end; how, depends on the kills."""
    with path.open(newline="") as lines:
        return {row["fingerprint"]: row["outcome"] in ("ran", "resumed", "skipped") for row in csv.DictReader(lines)}


def stored(store: Path, folder: Path) -> Iterator[tuple[str, Any]]:
    """Each run of a store, by its name, with all that MLflow knows of it; a second run by one name has a number."""
    seen: Counter[str] = Counter()
    with closing(sqlite3.connect(store)) as database:
        rows = database.execute("select run_uuid, name, status, artifact_uri from runs order by name, start_time")
        for run, name, status, artifacts in rows.fetchall():
            seen[name] += 1
            called = name if seen[name] == 1 else f"{name} ({seen[name]})"
            yield called, known(database, run, folder) | {"status": status, "artifacts": uploaded(artifacts)}


def known(database: sqlite3.Connection, run: str, folder: Path) -> dict[str, Any]:
    """What MLflow's tables hold of a run."""

    def rows(query: str) -> list[tuple]:
        return database.execute(query, (run,)).fetchall()

    points = rows("select key, step, value, is_nan from metrics where run_uuid = ?")
    last = rows("select key, step, value, is_nan from latest_metrics where run_uuid = ?")
    tags = dict(rows("select key, value from tags where run_uuid = ?"))
    inputs = "select count(*) from inputs where destination_id = ?"
    return {
        **each_once(Counter((key, step, None if timed(key) else value, nan) for key, step, value, nan in points)),
        "latest": sorted((key, step, None if timed(key) else value, nan) for key, step, value, nan in last),
        "params": untimed(dict(rows("select key, value from params where run_uuid = ?")), folder),
        "tags": {key: None if _differs(key) else value.replace(str(folder), "") for key, value in tags.items()},
        "inputs": rows(inputs),
        "models": [
            (name, status, uploaded(place))
            for name, status, place in rows(
                "select name, status, artifact_location from logged_models where source_run_id = ?"
            )
        ],
    }


def _differs(tag: str) -> bool:
    return tag in ("hybridopt.key", "mlflow.parentRunId", "mlflow.log-model.history", "mlflow.runColor")


def uploaded(uri: str) -> dict[str, Any]:
    """The names of a run's artifacts, and whether anything is in them."""
    root = Path(uri.removeprefix("file://"))
    files = (path for path in root.rglob("*") if path.is_file() and not path.name.startswith(UPLOADING))
    return {str(path.relative_to(root)): path.stat().st_size > 0 for path in files}


def differences(expected: Any, found: Any, where: str = "") -> list[str]:
    """In what two trees of values differ, a line each."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        keys = [*expected, *(key for key in found if key not in expected)]
        return [
            told
            for key in keys
            for told in differences(expected.get(key, "(nothing)"), found.get(key, "(nothing)"), f"{where}/{key}")
        ]
    if expected == found or (expected != expected and found != found):
        return []
    if isinstance(expected, (list, set)) and isinstance(found, (list, set)):
        gone, new = ([one for one in a if one not in b] for a, b in ((expected, found), (found, expected)))
        return [f"{where}: lacks {str(gone)[:200]}, has {str(new)[:200]}"]
    return [f"{where}: {str(expected)[:120]} became {str(found)[:120]}"]
