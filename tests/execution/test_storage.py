"""Disks that are full, directories that cannot be written, stores that want a password: one sentence each."""

from __future__ import annotations

import http.server
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from jobs import LIMIT, SMALL

from hybridopt.errors import StorageError, TrackingError
from hybridopt.execution import experiment, identity
from hybridopt.execution.checkpoint import FILE, AtomicCheckpointIO
from hybridopt.programs import run as cli

QUICK = [*SMALL, "strategy=adam", "budget.forwards=5e3", "trainer.enable_progress_bar=false"]


def test_a_directory_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir("/proc")  # nobody may write there, not even root
    monkeypatch.setattr(sys, "argv", ["hybridopt", "strategy=adam"])
    with pytest.raises(SystemExit, match=r"The directory /proc, in which runs are kept, cannot be written"):
        cli.main()
    cli.check_writable([f"hydra.run.dir={tmp_path}/new/er"])
    file = tmp_path / "file"
    file.touch()
    for place in ("/proc/x", "/dev/null/x", str(file), f"{file}/below"):
        with pytest.raises(StorageError, match=f"The directory {place}, in which runs are kept, cannot be written"):
            cli.check_writable([f"hydra.run.dir={place}"])
    monkeypatch.setattr(sys, "argv", ["hybridopt", "--help"])
    cli.check_writable([])


def test_a_full_disk_leaves_the_former_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "run" / "checkpoints" / "last.ckpt"
    plugin = AtomicCheckpointIO()
    plugin.save_checkpoint({"a": 1}, target)
    before = target.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hybridopt.execution.checkpoint.os.fsync", full)
    with pytest.raises(StorageError, match=r"cannot be written \(.*No space left on device\): make room, and type"):
        plugin.save_checkpoint({"a": 2}, target)
    assert target.read_bytes() == before
    assert [path.name for path in target.parent.iterdir()] == ["last.ckpt"]


@pytest.mark.slow
def test_a_disk_that_fills_up_in_the_middle_of_a_run_ends_it_with_a_sentence(tmp_path: Path) -> None:
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # a checkpoint is larger

    done = subprocess.run(
        [sys.executable, "-m", "hybridopt", *QUICK, "model.hidden=[64,64]"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=small_files,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    assert "make room, and type hybridopt resume=" in done.stderr
    assert "Traceback" not in done.stderr


class Locked(http.server.BaseHTTPRequestHandler):
    """A tracking server that asks for a password."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 401)
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def locked() -> Iterator[str]:
    """The address of one."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Locked) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_server_that_wants_a_password_is_told_before_training(
    locked: str, composed: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    tracked = [override for override in QUICK if override != "tracking=none"]
    with pytest.raises(TrackingError, match=r"wants to know who you are .*: set MLFLOW_TRACKING_USERNAME"):
        experiment.run(composed(*tracked, f"tracking.uri={locked}"), tmp_path / "run")
    assert not (tmp_path / "run" / "journal.jsonl").exists()


class Evil:
    """Whoever unpickles it leaves a file behind."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.mark),)


def test_a_checkpoint_runs_no_code(composed: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    run, mark = tmp_path / "run", tmp_path / "mark"
    (run / FILE).parent.mkdir(parents=True)
    identity.write_config(composed(*QUICK), run)
    torch.save({"state_dict": Evil(mark)}, run / FILE)
    with pytest.raises(Exception, match=r"."):
        experiment.run({"resume": "here"}, run)
    assert not mark.exists()
