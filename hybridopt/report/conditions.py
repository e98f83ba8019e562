"""What was run, for somebody who wants to run it again: settings, command, date, code and hardware."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from hybridopt.report.runs import Comparison, plain_number
from hybridopt.tracking.reading import StoredRun

PARTS = ("budget", "dataset", "model", "objective", "encoding", "oracle", "trainer", "threads")
UNSET = ("None", "{}", "[]")  # how MLflow has settings that say nothing
NAMED = 4  # values that are named, where runs differ

Row = tuple[str, str]


def conditions(comparison: Comparison, parent: StoredRun | None) -> list[Row]:
    """Rows of two cells: what, and how it was in all runs; where runs differ, each value.

    Args:
        comparison: what is compared.
        parent: the run of the sweep; None where the runs are of an experiment.
    """
    runs = comparison.results
    rows = [(part, settings([run.record for run in runs], part)) for part in PARTS]
    for strategy in comparison.strategies:
        rows.append((strategy, settings([run.record for run in runs if run.strategy == strategy], "strategy")))
    records = [run.record for run in runs]
    rows += [("command", _values([parent], "hybridopt.command") if parent else ""), ("date", _dates(records))]
    rows += [("commit", _commit(records)), ("code", _values(records, "hybridopt.code"))]
    rows += [("hardware", _values(records, "hybridopt.hardware")), ("machine", _values(records, "hybridopt.host"))]
    return [(name, text) for name, text in rows if text]


def settings(records: Sequence[StoredRun], part: str) -> str:
    """The settings of a part, such as ``mlp, hidden=[16, 16]``; ``0.1 / 0.2`` is a setting in which the runs differ."""
    found: dict[str, dict[str, None]] = {}
    for record in records:
        for key, value in record.params.items():
            if key == part or key.startswith(f"{part}."):
                found.setdefault(key.removeprefix(part).lstrip("."), {})[plain_number(value)] = None
    return ", ".join(_told(found))


def _told(found: Mapping[str, Iterable[str]]) -> Iterator[str]:
    for key, values in sorted(found.items(), key=lambda item: item[0] not in ("", "name")):  # the name comes first
        text = _joined(values)
        if text not in UNSET:
            yield text if key in ("", "name") else f"{key}={text}"


def _values(records: Iterable[StoredRun], tag: str) -> str:
    return _joined(dict.fromkeys(record.tags[tag] for record in records if tag in record.tags))


def _joined(values: Iterable[str]) -> str:
    listed = list(values)
    more = f" / {len(listed) - NAMED} more" if len(listed) > NAMED else ""
    return " / ".join(listed[:NAMED]) + more


def _commit(records: Sequence[StoredRun]) -> str:
    """Of the user's repository."""
    commits = _values(records, "mlflow.source.git.commit")
    changed = any("hybridopt.uncommitted" in record.tags for record in records)
    return f"{commits}, and changes that were not committed" if changed else commits


def _dates(records: Sequence[StoredRun]) -> str:
    """When the first and the last run began."""
    ends = sorted({min(record.start for record in records), max(record.start for record in records)})
    return " to ".join(f"{datetime.fromtimestamp(each / 1000, UTC):%Y-%m-%d %H:%M:%S UTC}" for each in ends if each)
