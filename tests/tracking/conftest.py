"""Settings of a real store: a SQLite database, made once and copied."""

import pytest


@pytest.fixture
def settings(uri: str) -> dict:
    """The config group ``tracking``."""
    return {"name": "mlflow", "uri": uri, "experiment": "hybridopt", "log_model": False}
