"""A report as Markdown, and as one HTML page with its pictures inside."""

from __future__ import annotations

import base64
import html
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from hybridopt.errors import counted
from hybridopt.report.contributions import Contribution
from hybridopt.report.contributions import sentences as contributed
from hybridopt.report.fronts import FrontRow
from hybridopt.report.interval import Interval
from hybridopt.report.runs import Comparison
from hybridopt.report.summary import ArmSummary
from hybridopt.report.verdict import Verdict, conclusion, number, sentences

LEGEND = (
    "Medians over seeds, from five on with their 95 % intervals; a run that diverged is worse than all others. "
    "Validation is that of the last mark within the budget that all runs on the data set have spent. *forwards to* a "
    "target: all forwards spent until it is reached, those of runs that never reach it included, over the number of "
    "runs that do (ERT, as in COCO). *reach*: the share of runs that do, with Wilson's interval."
)

PAIRS = (
    "*difference*: of the means over common seeds, first less second, with a 95 % interval for this pair alone. "
    "*probability of improvement*: that a run of the first is better than a run of the second; ties count half. *p*: "
    "that the means are equal, corrected for the number of pairs (Holm). Where runs have diverged there is no mean: "
    "p is that of ranks, in which these are the last."
)

PARTS = (
    "Each hybrid against its control arms: the same job without one of its parts, at the same budget and seeds. "
    "*difference*: of the means over common seeds, hybrid less arm, with a 95 % interval for this row alone. "
    "*probability of improvement*: that a run of the hybrid is better than a run of the arm. *p*: that the means are "
    "equal, corrected for all rows of this section (Holm). *forwards*: the mean cost of hybrid / arm. *the arm is*: "
    "worse or better by the rule of the verdicts; the same, where no value in the interval is more than one standard "
    "deviation over seeds."
)

FRONTS = (
    "Medians over seeds. *IGD+*: by how much a front misses the best trade-offs of all runs on the data set, on "
    "average, all objectives scaled to the range of these (0 is best). *hypervolume* is measured from the corner that "
    "`objective.reference` names, or else from a little beyond the network before training, which is the same for all "
    "strategies of a seed."
)

CONDITIONS = (
    "A strategy has its label of above, and all of its settings; *a / b* is a setting in which runs differ. *command*: "
    "what makes the sweep again, or goes on with it. *commit*: of the repository in which it was typed."
)

PICTURE = re.compile(r"[\w.-]+\.svg")
POLICY = (  # for the browser: no script, and nothing from elsewhere
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
)

TOLD = 20  # sentences in the short version

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
    parts: Sequence[Contribution],
    notes: Sequence[str],
    pictures: dict[str, Path],
    conditions: Sequence[tuple[str, str]] = (),
    fronts: Sequence[FrontRow] = (),
) -> str:
    """The whole report.

    Args:
        title: its heading.
        comparison: what is compared.
        rows: its numbers.
        what: the quantity of the verdicts.
        verdicts: on pairs of strategies.
        parts: what each part of a hybrid contributes.
        notes: what may mislead.
        pictures: captions and files, beside the page.
        conditions: what was run, and how.
        fronts: of runs with several objectives.
    """
    text = [f"# {escaped(title)}", intro(comparison, what), "## Verdict", bullets(sentences(verdicts, what))]
    if parts:
        told = bullets(contributed(parts))
        text += ["## What each part contributes", told, *contribution_tables(parts), PARTS]
    text += ["## Numbers", *(table(rows, dataset, comparison) for dataset in comparison.datasets), LEGEND]
    if verdicts:
        text += ["## Pairs", *(pairs(verdicts, dataset, what) for dataset in comparison.datasets), PAIRS]
    if fronts:
        text += ["## Fronts", *(front_table(fronts, dataset) for dataset in comparison.datasets), FRONTS]
    text += ["## Pictures", *(_picture(caption, path) for caption, path in pictures.items())]
    if conditions:
        text += ["## What was run", markdown_table(["in all runs", ""], conditions), CONDITIONS]
    text += ["## Threats to validity", bullets(notes or ["Nothing to note: all runs are there, and alike."])]
    return "\n\n".join(text) + "\n"


def intro(comparison: Comparison, what: str) -> str:
    """What is compared, in a sentence."""
    seeds = {len(comparison.of(s, d)) for s in comparison.strategies for d in comparison.datasets} - {0}
    told = str(seeds.pop()) if len(seeds) == 1 else f"{min(seeds)} to {max(seeds)}"
    better, noun = "higher" if comparison.higher else "lower", "seed" if told == "1" else "seeds"
    datasets = escaped(", ".join(comparison.datasets))
    return (
        f"{counted(len(comparison.results), 'run')} of {counted(len(comparison.strategies), 'strategy')} on "
        f"{datasets}, {told} {noun} each, compared in {escaped(what)}; {better} is better."
    )


def table(rows: Sequence[ArmSummary], dataset: str, comparison: Comparison) -> str:
    """The numbers on a data set."""
    mine = [row for row in rows if row.dataset == dataset]
    target = number(mine[0].target) if mine else ""
    head = [dataset, "runs", f"val/{comparison.metric}", f"test/{comparison.metric}", f"forwards to {target}",
            f"reach {target}", "seconds", "peak MB"]  # fmt: skip
    body = [
        [row.strategy, str(row.runs), metric(row.validation), metric(row.test), interval(row.ert),
         interval(row.success), interval(row.seconds), interval(row.memory)]
        for row in mine
    ]  # fmt: skip
    return markdown_table(head, body)


def pairs(verdicts: Sequence[Verdict], dataset: str, what: str) -> str:
    """All pairs on a data set."""
    head = [f"{dataset}, {what}", "difference", "probability of improvement", "p", "seeds", "better"]
    body = [
        [f"{each.a} - {each.b}", interval(each.found.difference), f"{each.found.improvement:.2f}", f"{each.p:.2g}",
         str(each.found.n), conclusion(each)]
        for each in verdicts if each.dataset == dataset and each.found is not None
    ]  # fmt: skip
    return markdown_table(head, body) if body else f"There is no pair to compare on {escaped(dataset)}."


def front_table(rows: Sequence[FrontRow], dataset: str) -> str:
    """The fronts on a data set."""
    head = [dataset, "runs", "members", "IGD+, validation", "IGD+, test"]
    body = [
        [row.strategy, str(row.runs), interval(row.members), interval(row.validation), interval(row.test)]
        for row in rows if row.dataset == dataset
    ]  # fmt: skip
    return markdown_table(head, body) if body else f"No run has a front on {escaped(dataset)}."


def contribution_tables(parts: Sequence[Contribution]) -> Iterator[str]:
    """A table for each data set, and for all of them together, with a row for each control arm that has runs."""
    head = ["difference", "probability of improvement", "p", "seeds", "forwards", "the arm is"]
    for dataset in dict.fromkeys(part.dataset for part in parts):
        body = [
            [f"{part.hybrid}, {part.arm}", interval(found.difference), f"{found.improvement:.2f}",
             f"{part.verdict.p:.2g}", str(found.n), " / ".join(number(cost) for cost in part.forwards), part.outcome()]
            for part in parts if part.dataset == dataset and (found := part.verdict.found) is not None
        ]  # fmt: skip
        what = " and ".join(dict.fromkeys(part.what for part in parts if part.dataset == dataset))
        if body:
            yield markdown_table([f"{dataset}, {what}", *head], body)


def short(
    comparison: Comparison,
    rows: Sequence[ArmSummary],
    what: str,
    verdicts: Sequence[Verdict],
    parts: Sequence[Contribution] = (),
    unfinished: Sequence[str] = (),
) -> str:
    """What fits into a run's description: medians, verdicts, parts of hybrids, and which runs are worth nothing."""
    head = ["median", *(f"{dataset}" for dataset in comparison.datasets)]
    found = {(row.strategy, row.dataset): row.test or row.validation for row in rows}
    body = [
        [strategy, *(metric(found.get((strategy, dataset))) for dataset in comparison.datasets)]
        for strategy in comparison.strategies
    ]
    found = sentences(verdicts, what)
    more = counted(len(found) - TOLD, "more verdict")
    told = found if len(found) <= TOLD else [*found[:TOLD], f"The report has {more}."]
    tables = [pairs(verdicts, dataset, what) for dataset in comparison.datasets] if 0 < len(verdicts) <= TOLD else []
    shown = ["What each part contributes:", bullets(contributed(parts)[:TOLD])] if parts else []
    return "\n\n".join(
        [intro(comparison, what), markdown_table(head, body), bullets([*told, *unfinished]), *shown, *tables]
    )


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


def metric(found: Interval | None) -> str:
    """The median of a metric, which is infinite where half of the runs or more have diverged."""
    return "diverged" if found is not None and math.isinf(found.value) else interval(found)


def page(title: str, text: str, folder: Path) -> str:
    """Markdown as one HTML page; pictures in the folder are put into it, and nothing else is shown or followed."""
    from markdown_it import MarkdownIt

    renderer = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["link", "autolink", "reference"])
    body, plain = renderer.render(text), _printable(title)
    body = re.sub(r'<img src="([^"]*)"', lambda found: f'<img src="{_embedded(folder, found[1])}"', body)
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">{POLICY}<title>{html.escape(plain)}</title>'
        f"<style>{STYLE}</style></head>\n<body>\n{body}</body>\n</html>\n"
    )


def escaped(text: str) -> str:
    """A text of others, such as the name of a run, as Markdown that shows it and does nothing else."""
    marks = re.sub(r"[\\`*\[\]!]", r"\\\g<0>", html.escape(_printable(text), quote=False))
    return re.sub(r"(?<!\w)_+|_+(?!\w)", lambda found: r"\_" * len(found[0]), marks)  # in a word they say nothing


def _printable(text: str) -> str:
    """A text in one line, without what a terminal would obey."""
    return "".join(character if character.isprintable() else " " for character in text)


def _picture(caption: str, path: Path) -> str:
    return f"![{escaped(caption)}]({path.name})\n\n*{escaped(caption)}*"


def _embedded(folder: Path, name: str) -> str:
    """A picture of the folder itself as data; nothing for any other address."""
    picture = folder / name
    inside = PICTURE.fullmatch(name) and picture.is_file() and not picture.is_symlink()
    return "data:image/svg+xml;base64," + base64.b64encode(picture.read_bytes()).decode() if inside else ""


def bullets(lines: Sequence[str]) -> str:
    """A list as Markdown, whatever the lines hold."""
    return "\n".join(f"- {escaped(line)}" for line in lines)


def markdown_table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table as Markdown, whatever the cells hold."""
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(escaped(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def print_short(text: str, html: Path) -> None:
    """Print the short version of a report, and where the long one is."""
    from rich.console import Console
    from rich.markdown import Markdown as Rendered

    console = Console(width=max(Console().width, 100), highlight=False)
    console.print(Rendered(text))
    console.print(f"\nreport     {html.absolute()}", soft_wrap=True)
