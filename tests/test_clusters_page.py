"""The page on clusters is true: its commands run, and jobs are found again."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest
from stored import points
from typed import run_all

PAGE = (Path(__file__).parent.parent / "docs" / "clusters.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
SMALL = ("dataset=iris", "dataset.batch_size=16", "model.hidden=[4]", "tracking.log_model=false", "budget.marks=10")
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}

pytestmark = pytest.mark.slow
with_ray = pytest.mark.skipif(
    importlib.util.find_spec("hydra_plugins.hydra_ray_launcher") is None,
    reason='hydra/launcher=ray needs pip install "hybridopt[ray]"',
)


def of(launcher: str) -> list[str]:
    return [command for command in COMMANDS if f"hydra/launcher={launcher}" in command]


def outcomes(folder: Path, *commands: str) -> list[str]:
    """What the last line of each command's table says of the jobs."""
    said = run_all([[*shlex.split(command), *SMALL] for command in commands], folder, ENVIRONMENT)
    return re.findall(r"^\d+ jobs: (.*)$", said, re.MULTILINE)


def test_every_command_is_run_by_a_test() -> None:
    assert len(COMMANDS) == 5
    assert [len(of(launcher)) for launcher in ("joblib", "ray", "submitit_local")] == [1, 2, 1]


def test_jobs_are_known_whoever_starts_them(tmp_path: Path) -> None:
    assert outcomes(tmp_path, *COMMANDS[:2], *of("submitit_local")) == ["4 ran", "4 skipped", "2 ran"]
    assert len(points(tmp_path / "mlflow.db")) == 4 + 2


@with_ray
def test_ray_runs_jobs_and_finds_them_again(tmp_path: Path) -> None:
    assert outcomes(tmp_path, *of("ray")) == ["2 ran", "2 skipped"]


@with_ray
def test_ray_takes_the_jobs_to_a_cluster_that_is_there(tmp_path: Path) -> None:
    (page,) = re.findall(r"head\$    hybridopt (-m hydra/launcher=ray .*?)\n```", PAGE, re.DOTALL)
    settings = [part for part in shlex.split(page.replace("\\\n", " ")) if part.startswith(("hydra", "+hydra"))]
    port, elsewhere = free_port(), tmp_path / "elsewhere"
    elsewhere.mkdir()
    typed = {part.partition("=")[0]: part for part in settings} | {
        "hydra.launcher.ray.init.address": f"hydra.launcher.ray.init.address=127.0.0.1:{port}",
        "hydra.sweep.dir": f"hydra.sweep.dir={tmp_path / 'shared'}",
        "+hydra.launcher.ray.remote.num_cpus": "+hydra.launcher.ray.remote.num_cpus=1",
    }
    with cluster(port, elsewhere):
        words = ["hybridopt", "-m", *typed.values(), "strategy=adam", "seeds=2", "budget.forwards=4e3"]
        assert outcomes(tmp_path, shlex.join(words)) == ["2 ran"]
    assert len(list((tmp_path / "shared").glob("adam-*/result.json"))) == 2
    assert list(elsewhere.iterdir()) == []


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


@contextmanager
def cluster(port: int, cwd: Path) -> Iterator[None]:
    """A Ray cluster of this machine, which ends with its own process."""
    ray = str(Path(sys.executable).with_name("ray"))
    with TemporaryDirectory(prefix="ray") as folder:  # a short path: sockets lie in it
        command = [ray, "start", "--head", "--block", "--num-cpus=2", f"--port={port}", f"--temp-dir={folder}"]
        command += ["--include-dashboard=false", "--node-ip-address=127.0.0.1"]
        head = subprocess.Popen(
            command, cwd=cwd, env=os.environ | ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            assert any("Ray runtime started" in line for line in head.stdout)
            yield
        finally:
            children = psutil.Process(head.pid).children(recursive=True)
            head.terminate()
            head.wait(60)
            for left in psutil.wait_procs(children, timeout=30)[1]:
                left.kill()
            head.stdout.close()
