"""Jobs as users run them, in this process and in others."""

from __future__ import annotations

import gc
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from jobs import LIMIT

from hybridopt.toolbox.credentials import VARIABLE
from hybridopt.tracking.store import prepare_store

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background: its processes would ignore it too
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, so that no process is left alone with one of them at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    freeze_imports()


_known = 0  # modules that were frozen


def freeze_imports() -> None:
    """Garbage is not looked for in what was imported: MLflow's and statsmodels' calls of the collector are many."""
    global _known
    if len(sys.modules) > _known + 20:
        gc.collect()
        gc.freeze()
        _known = len(sys.modules)


@pytest.fixture(autouse=True)
def no_garbage_among_imports() -> Iterator[None]:
    yield
    freeze_imports()


@pytest.fixture(scope="session", autouse=True)
def state_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Which stores the user's runs were made in is noted in a directory of the tests', also by other processes."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(autouse=True)
def credentials_of_each_test() -> Iterator[None]:
    """Credentials that a test has typed are masked in what it says, and not in what later tests say."""
    before = os.environ.get(VARIABLE)
    yield
    if before is None:
        os.environ.pop(VARIABLE, None)
    else:
        os.environ[VARIABLE] = before


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as :func:`prepare_store` makes it, to be copied: MLflow takes a second to make one."""
    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    prepare_store(f"sqlite:///{path}")
    return path


@pytest.fixture
def uri(template: Path, tmp_path: Path) -> str:
    """The URI of a store of the test's own."""
    path = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(template)) as source, closing(sqlite3.connect(path)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode=WAL")
    return f"sqlite:///{path}"


@pytest.fixture
def hybridopt(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the program in a process of its own, in ``tmp_path``."""

    def call(*arguments: str, check: bool = True, **kwargs: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "hybridopt", *arguments]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False, **kwargs
        )
        if check and done.returncode:
            pytest.fail(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    return call
