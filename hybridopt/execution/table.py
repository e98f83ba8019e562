"""What a run came to, as a table: on the screen, and in a notebook."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from hybridopt.errors import counted, verb
from hybridopt.execution.directory import CURVE_FILE
from hybridopt.execution.divergence import number
from hybridopt.toolbox.extras import remedy
from hybridopt.toolbox.figures import drawable

if TYPE_CHECKING:
    from hybridopt.execution.result import Result

COSTS = ("forwards", "seconds")


def show(result: Result, console: Console | None = None) -> None:
    """Print the table of a run, where it lies, and what to type to look at it in MLflow."""
    drawn = table(result)
    console = console or Console(width=max(Console().width, wanted_width(drawn)), highlight=False)
    console.print(drawn)
    weights = counted(int(result.summary["model/parameters"]), "parameter")
    console.print(f"model      {weights}, {result.summary['model/sparsity']:.1%} of the weights are zero")
    console.print(f"directory  {result.directory}", soft_wrap=True)
    if result.run_id is not None:
        console.print(f"run        {result.run_id}")
        console.print(f"review     {result.review}", soft_wrap=True, markup=False)
    if not (drawable() or Path(result.directory, CURVE_FILE).exists()):
        said = f"picture    none, since matplotlib is not installed: type {remedy('report')}"
        console.print(said, soft_wrap=True, markup=False)
    if left := result.undelivered:
        them = verb(left, "it", "them")
        console.print(
            f"{counted(left, 'record')} {verb(left, 'waits', 'wait')} in the run's directory, since the tracking store "
            f"did not take {them}; to send {them}, type: hybridopt resume={result.directory}",
            soft_wrap=True,
        )


def html(result: Result) -> str:
    """What :func:`show` prints, for a notebook."""
    console = Console(
        record=True, file=io.StringIO(), width=wanted_width(table(result)), highlight=False, force_jupyter=False
    )
    show(result, console)
    code = '<pre style="line-height: normal; font-family: monospace">{code}</pre>'
    return console.export_html(inline_styles=True, code_format=code)


def wanted_width(drawn: Table) -> int:
    """The columns that a table needs to be read whole; a narrower screen wraps its lines, which loses nothing."""
    return max(100, Console(width=10_000).measure(drawn).maximum)


def table(result: Result) -> Table:
    """A row for each phase and one for the whole: costs, validation and test metrics."""
    summary = result.summary
    validation = {key.removeprefix("final/"): value for key, value in summary.items() if key.startswith("final/val/")}
    test = {key: value for key, value in summary.items() if key.startswith("test/")}
    drawn = Table(box=SIMPLE_HEAD, pad_edge=False)
    drawn.add_column("phase", no_wrap=True)
    for column in (*COSTS, *(name.replace("/", "\n") for name in (*validation, *test))):
        drawn.add_column(column, justify="right", no_wrap=True)
    for phase in result.phases:
        metrics = [number(phase.metrics.get(name)) for name in validation]
        drawn.add_row(phase.name, f"{phase.forwards:,}", f"{phase.seconds:.1f}", *metrics, *("" for _ in test))
    whole = [number(value) for value in (*validation.values(), *test.values())]
    costs = f"{summary['cost/forwards']:,.0f}", f"{summary['cost/seconds']:.1f}"
    drawn.add_row("total", *costs, *whole, style="bold")
    return drawn
