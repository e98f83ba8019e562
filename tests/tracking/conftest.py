"""Real stores: a SQLite database, made once and copied, since MLflow takes seconds to make one."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest


@pytest.fixture
def uri(template: Path, tmp_path: Path) -> str:
    """The URI of a store of the test's own."""
    path = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(template)) as source, closing(sqlite3.connect(path)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode=WAL")
    return f"sqlite:///{path}"


@pytest.fixture
def settings(uri: str) -> dict:
    """The config group ``tracking``."""
    return {"name": "mlflow", "uri": uri, "experiment": "hybridopt", "log_model": False}
