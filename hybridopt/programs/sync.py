"""``hybridopt-sync``: what runs have reported and their MLflow store does not have yet is delivered."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hybridopt.errors import HybridoptError
from hybridopt.execution.directory import finish_killed
from hybridopt.programs.pipes import ending_with_reader
from hybridopt.programs.version import add_flag
from hybridopt.toolbox.credentials import masked
from hybridopt.tracking.delivery import deliver_leftovers, undelivered
from hybridopt.tracking.lines import JOURNAL

PLACES = ("outputs", "multirun")  # where runs are, unless the user says otherwise


@dataclass
class Delivery:
    """What became of a run's journal.

    Args:
        directory: the run's.
        waiting: operations that waited.
        left: operations that still wait.
        why: a sentence where it was left alone.
    """

    directory: Path
    waiting: int
    left: int
    why: str = ""


@ending_with_reader()
def main(arguments: Sequence[str] | None = None) -> None:
    """The console program; it exits with 1 where something still waits."""
    chosen = parser().parse_args(arguments)
    places = chosen.directory or [Path(place) for place in PLACES if Path(place).is_dir()]
    missing = [str(place) for place in places if not place.is_dir()]
    if missing:
        sys.exit(f"There is no directory {missing[0]}: name the directory of a run, or one above.")
    found = list(runs(places))
    if not chosen.dry_run:
        finish(found)
    waiting = {run: number for run in found if (number := undelivered(run))}
    if not waiting:
        print("Nothing waits: every run that is tracked has been delivered.")
        return
    deliveries = [Delivery(run, number, number) for run, number in waiting.items()]
    if not chosen.dry_run:
        deliveries = list(deliver(waiting, chosen.uri))
    print_table(deliveries)
    sys.exit(int(any(each.left for each in deliveries)))


def runs(places: Sequence[Path]) -> Iterator[Path]:
    """The directories with a journal, here and below."""
    for place in places:
        yield from sorted(path.parent for path in place.rglob(JOURNAL))


def finish(found: Sequence[Path]) -> None:
    """End the runs that were killed when all that was left to do was to report; one that goes on is left alone."""
    for run in found:
        with suppress(HybridoptError):
            finish_killed(run)


def deliver(waiting: dict[Path, int], uri: str | None = None) -> Iterator[Delivery]:
    """Deliver the journals, one after the other; one that is being written, or names a store that nobody else names, is
    left alone.
    """
    from tqdm import tqdm

    for run, number in tqdm(waiting.items(), desc="delivering", unit=" runs", leave=False, disable=None):
        try:
            yield Delivery(run, number, deliver_leftovers(run, uri))
        except HybridoptError as error:
            yield Delivery(run, number, number, masked(str(error)))


def print_table(deliveries: Sequence[Delivery]) -> None:
    """Print a table."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    drawn = Table(box=SIMPLE_HEAD, pad_edge=False)
    drawn.add_column("run", overflow="fold")
    for column in ("waited", "delivered", "left"):
        drawn.add_column(column, justify="right")
    drawn.add_column("why", overflow="fold")
    for each in deliveries:
        drawn.add_row(str(each.directory), str(each.waiting), str(each.waiting - each.left), str(each.left), each.why)
    Console(width=max(Console().width, 100), highlight=False).print(drawn)


def parser() -> argparse.ArgumentParser:
    """What can be typed."""
    made = add_flag(argparse.ArgumentParser(prog="hybridopt-sync", description=str(__doc__).split(": ", 1)[1]))
    made.add_argument("directory", nargs="*", type=Path, help=f"of runs, or above them ({' and '.join(PLACES)})")
    made.add_argument("--uri", help="a store that may have what names it, besides those of your own runs")
    made.add_argument("--dry-run", action="store_true", help="say what waits, and deliver nothing")
    return made
