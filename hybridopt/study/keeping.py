"""Results of a study as a small file, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from hybridopt.core.study import Results
from hybridopt.errors import DataError
from hybridopt.tracking.checked import read_checked
from hybridopt.tracking.files import write_atomically

DIGITS = 6  # of a number that is kept: more than any page shows
_ADAPTER = TypeAdapter(Results)


def keep(results: Results, path: Path) -> Path:
    """Write results, whole or not at all, with a line for each arm, cell and tuning."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = (f'"{name}": {_lines(value)}' for name, value in _plain(asdict(rounded(results))).items())
    write_atomically(path, "{\n" + ",\n".join(parts) + "\n}\n")
    return path


def load(path: Path) -> Results:
    """Results that were kept.

    Raises:
        DataError: there are none.
        ResumeError: they are damaged.
    """
    if not path.exists():
        raise DataError(f"There are no results of a study at {path}: hybridopt-study run <name> makes them.")
    return read_checked(path, lambda found: _ADAPTER.validate_json(found.read_bytes()), "run the study again")


def rounded(results: Results) -> Results:
    """Results as :func:`load` reads them, with :data:`DIGITS` significant digits: their verdict can be given again."""
    return _ADAPTER.validate_python(_plain(asdict(results)))


def _plain(value: Any) -> Any:
    """Rounded numbers, and texts for those that JSON does not have, which pydantic reads where a number is meant."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else str(value)
    return value


def _lines(value: Any) -> str:
    if isinstance(value, dict) and value:
        return "{\n" + ",\n".join(f" {json.dumps(key)}: {json.dumps(item)}" for key, item in value.items()) + "\n}"
    return json.dumps(value)
