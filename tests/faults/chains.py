"""Chains of kills: a command is typed, killed, typed again, and at last left alone; then it is compared with one that
nobody has disturbed."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import compare
from kills import GONE, Ended, Point, Program, arm

TRIES = 5  # times that a command is typed after its kills until it has done what it should
GRACE = 40.0  # seconds in which what a killed process has started notices, before it is counted

Kill = Point | float  # at a point, or after this share of what an undisturbed command takes


@dataclass(frozen=True)
class Case:
    """A command.

    Args:
        name: of its kind and what it runs.
        arguments: what is typed first.
        whole_group: whether all of its processes are killed, or the first one alone.
    """

    name: str
    arguments: tuple[str, ...]
    whole_group: bool = True

    def next(self, folder: Path) -> Sequence[str]:
        """What is typed next: a run that has begun is resumed; all else is typed again."""
        begun = "-m" not in self.arguments and (folder / "run" / "config.yaml").exists()
        return ["resume=run"] if begun else self.arguments


@dataclass
class Outcome:
    """What became of a chain.

    Args:
        case: the command.
        planned: the kills.
        made: those that found it running.
        differences: from an undisturbed command, a line each; a chain is lost where there are any.
        left: how many kills have left processes, after :data:`GRACE`.
    """

    case: Case
    planned: Sequence[Kill]
    made: int = 0
    differences: list[str] = field(default_factory=list)
    left: int = 0


class Ground:
    """Where commands are typed: a folder for each, with an empty store.

    Args:
        base: the folder of all.
        store: a database as ``prepare_store`` makes it, or None: then each command makes its own.
    """

    def __init__(self, base: Path, store: Path | None):
        self.base, self.store = base, store
        self._undisturbed: dict[tuple[str, ...], tuple[dict, float]] = {}
        self._number = 0

    def folder(self) -> Path:
        """A new one."""
        self._number += 1
        made = self.base / f"chain{self._number}"
        made.mkdir(parents=True)
        if self.store is not None:
            shutil.copy(self.store, made / "mlflow.db")
        return made

    def undisturbed(self, case: Case) -> tuple[dict, float]:
        """What the command leaves where nobody disturbs it, and how many seconds it takes."""
        if case.arguments not in self._undisturbed:
            folder = self.folder()
            ended = Program(case.arguments, folder).end()
            if ended.code:
                raise AssertionError(f"{case.name} ends with {ended.code}:\n{ended.said[-3000:]}")
            self._undisturbed[case.arguments] = compare.left(folder), ended.seconds
            shutil.rmtree(folder)
        return self._undisturbed[case.arguments]

    def chain(self, case: Case, planned: Sequence[Kill]) -> Outcome:
        """Kill a command as planned, type it until it succeeds, and compare; what differs is kept for a look."""
        expected, seconds = self.undisturbed(case)
        folder, outcome = self.folder(), Outcome(case, planned)
        started: list[Program] = []
        for kill in planned:
            code = disturbed(case, kill, folder, seconds, started)
            outcome.made += code == GONE
            if isinstance(kill, Point) and code != GONE:
                outcome.differences.append(f"{kill} is never reached")
        finish(case, folder, outcome)
        outcome.differences += compare.differences(expected, compare.left(folder))
        outcome.left = sum(left_running(process) for process in started)
        if not outcome.differences:
            shutil.rmtree(folder)
        else:
            outcome.differences.append(f"see {folder}")
        return outcome


def disturbed(case: Case, kill: Kill, folder: Path, seconds: float, started: list[Program]) -> int:
    """Type the command once, and kill it; its exit code."""
    prepare = partial(arm, kill) if isinstance(kill, Point) else None
    process = Program(case.next(folder), folder, prepare)
    started.append(process)
    ended = process.wait(kill * seconds) if isinstance(kill, float) else process.end()
    if ended is None:
        process.kill(case.whole_group)
        ended = process.end()
    if case.whole_group:
        process.sweep_up()
    return ended.code


def finish(case: Case, folder: Path, outcome: Outcome) -> None:
    """Type the command until it succeeds, and once more, which changes nothing."""
    ended: Ended | None = None
    for _ in range(TRIES):
        ended = Program(case.next(folder), folder).end()
        if "Traceback" in ended.said:
            outcome.differences.append(f"a traceback: {ended.said[-1500:]}")
        if ended.code == 0:
            break
    else:
        outcome.differences.append(f"it never succeeds: {ended.said[-1500:] if ended else ''}")


def left_running(process: Program) -> int:
    """Whether a killed process has left others that do not notice; they are killed now."""
    end = time.monotonic() + GRACE
    while process.is_running() and time.monotonic() < end:
        time.sleep(0.1)
    return process.sweep_up()


def at_random(case: Case, seed: int, most: int = 3) -> list[Kill]:
    """One to ``most`` random moments, from the beginning to the end of what is left."""
    draw = random.Random(f"{case.name} {seed}")
    return [draw.uniform(0.02, 1.0) for _ in range(draw.randint(1, most))]


def assert_equal(ground: Ground, case: Case, planned: list) -> None:
    """A chain of kills ends as an undisturbed run does, and leaves no process behind."""
    outcome = ground.chain(case, planned)
    assert not outcome.differences, "\n".join(outcome.differences)
    assert not outcome.left, "killed processes have left others running"
