"""How long `hybridopt-plugins list` takes with many plugins installed.

    python scripts/benchmarks/bench_listing.py
    python scripts/benchmarks/bench_listing.py --plugins 1000

Packages of two strategies each are made in a temporary folder that is put on the path; none of them could be imported.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STRATEGY = '''
import torch

from hybridopt import Search

raise RuntimeError("imported")


class Mine(Search):
    """A strategy."""

    def __init__(self, sigma: float = 0.1):
        super().__init__()
'''
REPETITIONS = 5


def install(site: Path, number: int) -> None:
    """A package of two strategies, as pip leaves it on disk."""
    metadata = site / f"timed_{number}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: timed-{number}\nVersion: 1.0\n")
    lines = [f"{name}_{number} = timed_{number}:Mine" for name in ("one", "other")]
    (metadata / "entry_points.txt").write_text("\n".join(["[hybridopt.strategies]", *lines]))
    (site / f"timed_{number}.py").write_text(STRATEGY)


def listed(site: str) -> tuple[float, float, int]:
    """Seconds by the clock, seconds of the processor, and plugins listed."""
    command = [sys.executable, "-m", "hybridopt.programs.plugins", "list"]
    environment = {**os.environ, "PYTHONPATH": site}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, busy, len(done.stdout.splitlines()) - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plugins", type=int, default=200, help="how many, besides those that are installed here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as site:
        for number in range(arguments.plugins // 2):
            install(Path(site), number)
        rounds = [listed(site) for _ in range(REPETITIONS)]
    clock, busy, count = (statistics.median(values) for values in zip(*rounds, strict=True))
    print(f"{count} plugins: {clock:.2f} s, of which the processor is busy {busy:.2f} s (median of {REPETITIONS})")


if __name__ == "__main__":
    main()
