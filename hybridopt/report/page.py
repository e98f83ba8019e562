"""A report as Markdown, and as one HTML page with its pictures inside."""

from __future__ import annotations

import base64
import html
import math
import re
from collections.abc import Sequence
from pathlib import Path

from hybridopt.report.runs import Comparison
from hybridopt.report.statistics import Interval
from hybridopt.report.summary import ArmSummary
from hybridopt.report.verdict import Verdict, number

LEGEND = (
    "Medians with 95 % bootstrap intervals over seeds. Validation is that of the last mark within the budget that "
    "all runs on the data set have spent. *forwards to* a target: all forwards spent until it is reached, those of "
    "runs that never reach it included, over the number of runs that do (ERT, as in COCO). *reach*: the share of "
    "runs that do, with Wilson's interval."
)

TOLD = 20  # verdicts in the short version; of more, those that are decided

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 0.9rem; }
th, td { padding: 0.25rem 0.7rem; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child { text-align: left; }
img { max-width: 100%; }
li { margin: 0.3rem 0; }
"""


def markdown(
    title: str,
    comparison: Comparison,
    rows: Sequence[ArmSummary],
    what: str,
    verdicts: Sequence[Verdict],
    notes: Sequence[str],
    pictures: dict[str, Path],
) -> str:
    """The whole report.

    Args:
        title: its heading.
        comparison: what is compared.
        rows: its numbers.
        what: the quantity of the verdicts.
        verdicts: on pairs of strategies.
        notes: what may mislead.
        pictures: captions and files, beside the page.
    """
    parts = [f"# {title}", intro(comparison, what), "## Verdict", _list([each.sentence(what) for each in verdicts])]
    parts += ["## Numbers", *(table(rows, dataset, comparison) for dataset in comparison.datasets), LEGEND]
    parts += ["## Pictures", *(f"![{caption}]({path.name})\n\n*{caption}*" for caption, path in pictures.items())]
    parts += ["## Threats to validity", _list(notes or ["Nothing to note: all runs are there, and alike."])]
    return "\n\n".join(parts) + "\n"


def intro(comparison: Comparison, what: str) -> str:
    """What is compared, in a sentence."""
    seeds = {len(comparison.of(s, d)) for s in comparison.strategies for d in comparison.datasets} - {0}
    told = str(seeds.pop()) if len(seeds) == 1 else f"{min(seeds)} to {max(seeds)}"
    better = "higher" if comparison.higher else "lower"
    return (
        f"{len(comparison.results)} runs of {len(comparison.strategies)} strategies on "
        f"{', '.join(comparison.datasets)}, {told} seeds each, compared in {what}; {better} is better."
    )


def table(rows: Sequence[ArmSummary], dataset: str, comparison: Comparison) -> str:
    """The numbers on a data set."""
    mine = [row for row in rows if row.dataset == dataset]
    target = number(mine[0].target) if mine else ""
    head = [dataset, "runs", f"val/{comparison.metric}", f"test/{comparison.metric}", f"forwards to {target}",
            f"reach {target}", "seconds", "peak MB"]  # fmt: skip
    body = [
        [row.strategy, str(row.runs), interval(row.validation), interval(row.test), interval(row.ert),
         interval(row.success), interval(row.seconds), interval(row.memory)]
        for row in mine
    ]  # fmt: skip
    return _table(head, body)


def short(comparison: Comparison, rows: Sequence[ArmSummary], what: str, verdicts: Sequence[Verdict]) -> str:
    """What fits into a run's description: a table of medians, and the verdicts."""
    head = ["", *(f"{dataset}" for dataset in comparison.datasets)]
    found = {(row.strategy, row.dataset): row.test or row.validation for row in rows}
    body = [
        [strategy, *(interval(found.get((strategy, dataset))) for dataset in comparison.datasets)]
        for strategy in comparison.strategies
    ]
    told = list(verdicts) if len(verdicts) <= TOLD else [each for each in verdicts if each.better is not None][:TOLD]
    more = [f"{len(verdicts) - len(told)} more pairs are in the report."] if len(told) < len(verdicts) else []
    sentences = [verdict.sentence(what) for verdict in told]
    return "\n\n".join([intro(comparison, what), _table(head, body), _list([*sentences, *more])])


def interval(found: Interval | None) -> str:
    """An estimate, with its interval where there is one."""
    if found is None or math.isnan(found.value):
        return "-"
    if math.isinf(found.value):
        return "never"
    if math.isnan(found.low) or found.low == found.high:
        return number(found.value)
    high = "never" if math.isinf(found.high) else number(found.high)
    return f"{number(found.value)} ({number(found.low)} to {high})"


def page(title: str, text: str, folder: Path) -> str:
    """Markdown as one HTML page; pictures in the folder are put into it."""
    from markdown_it import MarkdownIt

    body = MarkdownIt("commonmark").enable("table").render(text)
    inlined = re.sub(r'src="([^"]+\.png)"', lambda found: f'src="{_embedded(folder / found[1])}"', body)
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head>\n<body>\n{inlined}</body>\n</html>\n"
    )


def _embedded(picture: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def print_short(text: str, html: Path) -> None:
    """Print the short version of a report, and where the long one is."""
    from rich.console import Console
    from rich.markdown import Markdown as Rendered

    console = Console(width=max(Console().width, 100), highlight=False)
    console.print(Rendered(text))
    console.print(f"\nreport     {html.absolute()}", soft_wrap=True)
