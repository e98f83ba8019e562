"""A sweep under Ray that is killed is finished by the same command again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
from jobs import LIMIT
from test_clusters_page import ENVIRONMENT, SMALL, outcomes, with_ray

pytestmark = with_ray


def test_a_sweep_that_is_killed_under_ray_goes_on(tmp_path: Path) -> None:
    sweep = ("-m", "hydra/launcher=ray", "strategy=openai_es", "seeds=2", "budget.forwards=3e6", "sweep.name=killed")
    command = [sys.executable, "-m", "hybridopt", *sweep, *SMALL]
    running = subprocess.Popen(
        command, cwd=tmp_path, env=os.environ | ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + LIMIT
    while len(list(tmp_path.glob("multirun/killed/*/checkpoints/last.ckpt"))) < 2:
        assert running.poll() is None, "the sweep ended by itself"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    started = psutil.Process(running.pid).children(recursive=True)
    jobs = [process for process in started if "_run_job" in " ".join(process.cmdline())]
    running.kill()
    running.wait()
    assert len(jobs) == 2
    assert psutil.wait_procs(jobs, timeout=60)[1] == []
    for agent in psutil.wait_procs(started, timeout=1)[1]:  # Ray's own, which take minutes to see that they are alone
        agent.kill()
    assert not list(tmp_path.glob("multirun/killed/*/result.json"))
    assert outcomes(tmp_path, *sweep) == "2 resumed"
