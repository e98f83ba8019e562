"""For bench_scale.py: a sweep of many tiny jobs in one process, and how soon the program answers."""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_listing import install

if TYPE_CHECKING:  # it imports torch, which counts as part of a sweep here
    from benchlib import Rows

JOB = ["dataset=iris", "model.hidden=[8]", "strategy=adam", "budget.forwards=2000", "budget.marks=2"]
TRACKED, UNTRACKED = ["tracking=mlflow", "tracking.log_model=false"], ["tracking=none"]
STRATEGIES = "adam,sgd,cem,openai_es,random_search"
SOON = 10  # jobs after which a sweep is stopped where only its beginning is of interest
BARE = "import hydra\nhydra.main(version_base='1.3', config_path=None)(lambda config: None)()\n"


def swept(kind: str, jobs: int) -> list[str]:
    """What is typed for so many jobs that differ in numbers, in lists, or in plugins and seeds."""
    if kind == "numbers":
        return ["strategy.lr=" + ",".join(f"{1e-3 * (1 + i / jobs):.6f}" for i in range(jobs))]
    if kind == "lists":
        return ["model.hidden=" + ",".join(f"[{4 + i}]" for i in range(jobs))]
    return [f"strategy={STRATEGIES}", "objective=cross_entropy,hinge", f"seed=range({-(-jobs // 10)})"]


def sweeps(jobs: int) -> Rows:
    """A row for each kind of sweep; that of numbers runs to the end, and then again, when nothing is left to run."""
    with tempfile.TemporaryDirectory() as folder:
        ways = {
            "numbers": ("numbers", UNTRACKED, None),
            "numbers, again": ("numbers", UNTRACKED, None),
            "numbers, tracked": ("numbers", TRACKED, None),
            "lists": ("lists", UNTRACKED, SOON),
            "plugins": ("plugins", UNTRACKED, SOON),
        }
        rows = []
        for name, (kind, tracking, stop) in ways.items():
            place = Path(folder) / name.removesuffix(", again")
            place.mkdir(exist_ok=True)
            typed = swept(kind, jobs)
            keys = {one.partition("=")[0] for one in typed}
            job = [one for one in JOB if one.partition("=")[0] not in keys]
            found = in_child({"arguments": [*job, *tracking, *typed], "stop": stop}, place)
            rows.append({"sweep": name, **found})
            print(f"sweep over {name}: {found}", file=sys.stderr)
        return rows


def in_child(order: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The figures of a sweep in a process of its own.

    Raises:
        SystemExit: it failed.
    """
    command = [sys.executable, str(Path(__file__).resolve()), json.dumps(order)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"The sweep {order} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def child(arguments: list[str], stop: int | None) -> dict[str, Any]:
    """Type the sweep, and note the clock, the processor's time and the memory where each job begins."""
    started = time.perf_counter()
    from hybridopt.programs import run as cli

    marks: list[tuple[float, float, float]] = []
    whole = cli.job

    def job(config: Any) -> float | None:
        marks.append((time.perf_counter() - started, time.process_time(), resident()))
        if stop is not None and len(marks) > stop:
            raise KeyboardInterrupt
        return whole(config)

    cli.job = job
    sys.argv = ["hybridopt", "-m", *arguments, "sweep.report=false"]
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            cli.main()
        except SystemExit as ended:
            if ended.code and stop is None:
                raise SystemExit(said.getvalue()) from ended
    return {"jobs run": len(marks), **figures(marks), "to the end s": time.perf_counter() - started}


def figures(marks: Sequence[tuple[float, float, float]]) -> dict[str, float | None]:
    """When the first job began, the median of what one takes, and how the memory grew; None where no job ran."""
    first = marks[0] if marks else (None, None, None)
    steps = [[after[i] - before[i] for before, after in pairwise(marks)] for i in range(2)]
    each = [statistics.median(step) if step else None for step in steps]
    settled = marks[len(marks) // 5 :]  # libraries are loaded by then
    grown = settled[-1][2] - settled[0][2] if len(settled) > 1 else None
    return {
        "first job s": first[0],
        "first job CPU s": first[1],
        "s a job": each[0],
        "CPU s a job": each[1],
        "MB grown": grown,
    }


def resident() -> float:
    """MB of this process that are in memory; 0 where the system does not tell."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6 if statm.exists() else 0.0


# -- start-up ----------------------------------------------------------------------------------------------------------


def start_up(plugins: int, repetitions: int) -> Rows:
    """Seconds of ``hybridopt --help``, as things are and with so many more plugins, and of a program of bare Hydra."""
    with tempfile.TemporaryDirectory() as site:
        for number in range(plugins // 2):  # packages of two each
            install(Path(site), number)
        bare = Path(site) / "bare.py"
        bare.write_text(BARE)
        program = [sys.executable, "-m", "hybridopt", "--help"]
        ways = {
            "bare Hydra": ([sys.executable, str(bare), "--help"], ""),
            "hybridopt --help": (program, ""),
            f"hybridopt --help, {plugins} more plugins": (program, site),
        }
        found = [{name: answered(*way) for name, way in ways.items()} for _ in range(repetitions)]
    return [
        {
            "program": name,
            "s": statistics.median(each[name][0] for each in found),
            "CPU s": statistics.median(each[name][1] for each in found),
            "of bare Hydra": statistics.median(each[name][1] / each["bare Hydra"][1] for each in found),
        }
        for name in ways
    ]


def answered(command: Sequence[str], site: str) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env={**os.environ, "PYTHONPATH": site}, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - started, busy


if __name__ == "__main__":
    print(json.dumps(child(**json.loads(sys.argv[1]))))
