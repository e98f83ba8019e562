"""Kill programs, and print what became of them: ``python tests/faults --kills 200``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import count, cycle
from pathlib import Path

import kills
import places
from chains import Case, Ground, Kill, Outcome, at_random

from hybridopt.tracking.store import prepare_store

Plan = tuple[Case, Sequence[Kill]]


def named() -> Iterator[Plan]:
    """Each named point once, the strategies by turns."""
    quick = cycle(places.runs("tracking.log_model=false"))
    yield from ((next(quick), [point]) for point in places.OF_RUN)
    exporting = cycle([places.of_run("lottery_ticket"), places.of_run("es_then_adam")])
    yield from ((next(exporting), [point]) for point in places.OF_EXPORT)
    yield from ((places.SERIAL, [point]) for point in places.OF_SWEEP)
    yield from ((places.RANKS[number % 2], [point]) for number, point in enumerate(places.OF_RANKS))


def random_ones() -> Iterator[Plan]:
    """Chains of random kills without an end: runs with and without a model, sweeps, ranks."""
    quick, whole = cycle(places.runs("tracking.log_model=false")), cycle(places.runs())
    parallel = (places.JOBLIBS[0], places.RANKS[0], places.JOBLIBS[1], places.RANKS[1])
    others = cycle([case for each in parallel for case in (places.SERIAL, each)])
    for seed in count():
        for case in (next(quick), next(quick), next(whole), next(quick), next(others)):
            yield case, at_random(case, seed)


def plans(which: str) -> Iterator[Plan]:
    """What is asked for."""
    if which in ("all", "named"):
        yield from named()
    if which in ("all", "random"):
        yield from random_ones()


def show(outcomes: Sequence[Outcome]) -> None:
    """The table: chains, kills, and what was lost, by kind."""
    rows: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        named_point = isinstance(outcome.planned[0], kills.Point)
        rows[f"{outcome.case.name}, {'named points' if named_point else 'random'}"].append(outcome)
    rows["all"] = list(outcomes)
    print(f"{'':60} {'tries':>6} {'kills':>6} {'passed':>6} {'lost':>5} {'left running':>12}")
    for name, some in rows.items():
        lost = sum(bool(outcome.differences) for outcome in some)
        numbers = len(some), sum(outcome.made for outcome in some), len(some) - lost, lost
        print(f"{name:60} {numbers[0]:6} {numbers[1]:6} {numbers[2]:6} {numbers[3]:5} {sum(o.left for o in some):12}")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python tests/faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="how many kills that found a process running")
    parser.add_argument("--which", choices=["all", "named", "random"], default="all")
    parser.add_argument("--skip", type=int, default=0, help="leave out the first ones")
    parser.add_argument("--only", default="", help="cases whose name holds this")
    options = parser.parse_args()
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    kills.load()
    base = Path(tempfile.mkdtemp(prefix="faults-"))
    ground, outcomes, made = Ground(base, new_store(base)), [], 0
    for number, (case, planned) in enumerate(plans(options.which)):
        if number < options.skip or options.only not in case.name:
            continue
        outcome = ground.chain(case, planned)
        outcomes.append(outcome)
        made += outcome.made
        told = "; ".join(f"{kill:.2f}" if isinstance(kill, float) else str(kill) for kill in planned)
        print(f"{number} {case.name}: {told}: {'LOST' if outcome.differences else 'passed'}", flush=True)
        for line in outcome.differences:
            print(f"    {line}", flush=True)
        if made >= options.kills:
            break
    show(outcomes)
    sys.exit(any(outcome.differences for outcome in outcomes))


def new_store(base: Path) -> Path:
    """A database to be copied; made in a process of its own, since connections do not outlast a fork."""
    path = base / "template.db"
    pid = os.fork()
    if pid == 0:
        prepare_store(f"sqlite:///{path}")
        os._exit(0)
    os.waitpid(pid, 0)
    return path


if __name__ == "__main__":
    main()
