"""Write docs/thread.md, docs/reproduction.md, the page of each study and the README's picture from kept results.

    python scripts/tools/make_thread.py --take multirun
    python scripts/tools/make_thread.py
    python scripts/tools/make_thread.py --check

The first answers the question by the claims of the thread; the second says what holds of single methods, by the studies
of hybridopt-reproductions. With --take the results of studies that were run by their profile docs are copied from there
to docs/studies first. No number of these pages is typed by hand: what is said in plain words names them. The
conclusion (scripts/tools/conclusion.md) has places such as {study/number}, {study/number|.0%}, {verdict:study} and
{count:supported}, the paragraphs on each claim (scripts/tools/readings.toml) have {number}; these say for which verdict
they were written, and are refused once the results have another one. With --check nothing is written, and stale pages
are named.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import textwrap
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hybridopt.composition import registry
from hybridopt.core.study import VERDICTS, Judgement, Results, Study
from hybridopt.report.page import bullets, escaped, markdown_table
from hybridopt.report.pictures import save
from hybridopt.study.finding import find_study
from hybridopt.study.keeping import load
from hybridopt.study.page import write
from hybridopt.study.stored import store

ROOT = Path(__file__).resolve().parents[2]
FOLDER, PAGE = ROOT / "docs" / "studies", ROOT / "docs" / "thread.md"
METHODS, PACKAGE = ROOT / "docs" / "reproduction.md", "hybridopt-reproductions"
README, PICTURE = ROOT / "README.md", ROOT / "docs" / "answer.svg"
WORDS = Path(__file__).parent
ANSWER, CONCLUSION, READINGS = WORDS / "answer.md", WORDS / "conclusion.md", WORDS / "readings.toml"
PROFILE = "docs"
PLACE = re.compile(r"\{([^{}|]+)(?:\|([^{}]+))?\}")
HEAD = """# The thread, answered

*Why is gradient-free training not mainstream in deep learning?* The question comes back every few years, and is
answered by claims. Each of them is a study here: arms, budgets and the rule of the verdict were written down before
anything ran, all arms are tuned by equal numbers of trials, and costs are what the ledger has charged. A verdict
holds for networks and data of this size, which train in minutes on two cores; where size is what matters, the study
measures how things grow.

Made by `python scripts/tools/make_thread.py` from the results in [studies](studies/README.md); the tests compute each
verdict from them once more. `hybridopt-study run <name>` runs a study again.
"""
METHODS_HEAD = """# What holds of single methods

What is claimed of a method in its docstring, or of a part of hybridopt, is a claim of a study in
[hybridopt-reproductions](../plugins/hybridopt-reproductions/README.md). Each claim says what must be measured, with its
threshold; a study is supported if every one of its claims holds, refuted if none does, else mixed. What does not hold
is said as plainly as what does.

Made by `python scripts/tools/make_thread.py` from the results in [studies](studies/README.md); the tests compute each
verdict from them once more. `hybridopt-study run <name>` runs a study again. Numbers are medians over seeds with their
95 % intervals; p-values are corrected for all comparisons of a study (Holm); costs are in forwards.
"""
NOT_RUN = "not run yet"


@dataclass(frozen=True)
class Answer:
    """A study that was run.

    Args:
        name: its name.
        study: the plugin.
        results: what it measured.
        judgement: what it says; None where jobs are missing.
    """

    name: str
    study: Study
    results: Results
    judgement: Judgement | None

    @property
    def verdict(self) -> str:
        """In a word."""
        return "unfinished" if self.judgement is None else self.judgement.verdict

    @property
    def minutes(self) -> float:
        """That the runs took."""
        return float(self.results.provenance.get("minutes", 0.0))


def take(runs: Path) -> list[str]:
    """Copy the results of studies from where they were run; those of other profiles stay there.

    Args:
        runs: the folder of the sweeps.
    """
    taken = []
    for name in registry.names("study"):
        kept = runs / f"study-{name}-{PROFILE}" / "study" / f"{name}.json"
        if kept.exists():
            FOLDER.mkdir(parents=True, exist_ok=True)
            (FOLDER / kept.name).write_bytes(kept.read_bytes())
            results = load(kept)
            shipped = getattr(find_study(name, results.settings), "shipped", None)
            if shipped is not None:  # for strategies of others, which are ranked among these
                store(results, shipped)
            taken.append(name)
    return taken


def answers(folder: Path) -> list[Answer]:
    """All results there are, each judged, with its page written into the folder; in the order of the claims."""
    found = []
    for kept in sorted(FOLDER.glob("*.json")):
        results = load(kept)
        study = find_study(kept.stem, results.settings)
        written = write(kept.stem, study, results, folder)
        written.html.unlink()  # for MLflow; the documentation has the Markdown
        found.append(Answer(kept.stem, study, results, written.judgement))
    return sorted(found, key=lambda answer: (answer.study.number is None, answer.study.number or 0, answer.name))


def thread(found: Sequence[Answer]) -> str:
    """The page of all answers."""
    of_the_thread = [answer for answer in found if answer.study.number is not None]
    rows = [
        [f"C{answer.study.number}", answer.study.claim, f"**{answer.verdict}**", f"{answer.minutes:.3g}"]
        for answer in of_the_thread
    ]
    table = markdown_table(["", "claim", "verdict", "minutes"], rows).replace("\\*\\*", "**")
    conclusion = filled(CONCLUSION.read_text(encoding="utf-8"), numbers(of_the_thread), CONCLUSION.name)
    sections = [*(section(answer) for answer in of_the_thread), conclusion, beside(found)]
    return "\n\n".join([HEAD.rstrip(), table, *sections]) + "\n"


def beside(found: Sequence[Answer]) -> str:
    """The studies that are no claims of the thread: those of single methods, and others."""
    run = {answer.name: answer for answer in found}
    others = [name for name in registry.names("study") if find_study(name).number is None]
    rows = []
    for name in others:
        verdict = f"**{run[name].verdict}**" if name in run else NOT_RUN
        rows.append([page_of(name, run), escaped(find_study(name).claim), verdict])
    return "\n\n".join(
        [
            "## Beside the thread",
            f"Each claim on single methods is in the table of [what holds of single methods]({METHODS.name}).",
            lines_of(["study", "claim", "verdict"], rows),
        ]
    )


def methods(found: Sequence[Answer]) -> str:
    """The page of what holds of single methods; studies that have not been run say so, with their claims."""
    run = {answer.name: answer for answer in found}
    studies = [name for name in registry.names("study") if registry.find("study", name).distribution == PACKAGE]
    head = ["study", "claim", "verdict", "minutes"]
    rows = [
        [
            page_of(name, run),
            escaped(find_study(name).claim),
            f"**{run[name].verdict}**" if name in run else NOT_RUN,
            f"{run[name].minutes:.3g}" if name in run else "",
        ]
        for name in studies
    ]
    claims = [[*row, page_of(name, run)] for name in studies for row in claims_of(name, run)]
    table = lines_of(["method", "claim", "measured", "forwards", "holds", "study"], claims)
    return "\n\n".join([METHODS_HEAD.rstrip(), lines_of(head, rows), "## Claim by claim", table]) + "\n"


def claims_of(name: str, run: Mapping[str, Answer]) -> list[list[str]]:
    """A row for each claim of a study: what was measured, or that it has not been run."""
    answer = run.get(name)
    if answer is not None and answer.judgement is not None:
        rows = answer.judgement.tables[0].rows
        return [[*map(escaped, row[:-1]), "**no**" if row[-1] == "no" else row[-1]] for row in rows]
    state = NOT_RUN if answer is None else answer.verdict
    claims = getattr(find_study(name), "claims", {}).values()
    return [[escaped(", ".join(claim.methods)), escaped(claim.says), state, "", ""] for claim in claims]


def page_of(name: str, run: Mapping[str, Answer]) -> str:
    """A link to the page of a study; its name where it has not been run, so that there is none."""
    return f"[{name}](studies/{name}.md)" if name in run else f"`{name}`"


def lines_of(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def section(answer: Answer) -> str:
    """A claim: what was said, what came out, and the command."""
    figure = FOLDER / f"{answer.name}.svg"
    parts = [
        f"## C{answer.study.number}: {answer.verdict}",
        f"> {escaped(answer.study.claim)}\n>\n> {escaped(answer.study.said_by)}",
        said(answer),
        f"![{answer.name}](studies/{figure.name})" if answer.study.draw(answer.results) is not None else "",
        f"[How it was tested, and all numbers](studies/{answer.name}.md): `hybridopt-study run {answer.name}`",
    ]
    return "\n\n".join(part for part in parts if part)


def said(answer: Answer, readings: Path = READINGS) -> str:
    """What came out: in plain words where somebody has written them for this verdict, else what the study says.

    Raises:
        SystemExit: they were written for another verdict.
    """
    reading = tomllib.loads(readings.read_text(encoding="utf-8")).get(answer.name)
    if answer.judgement is None or reading is None:
        return bullets([] if answer.judgement is None else answer.judgement.found)
    if reading["verdict"] != answer.verdict:
        sys.exit(
            f"{readings.name} was written when {answer.name} was {reading['verdict']}, and it is {answer.verdict} now: "
            "read its results, and write what they say."
        )
    return filled(reading["says"], answer.judgement.numbers, f"{answer.name} in {readings.name}")


def filled(text: str, known: Mapping[str, float | str], where: str) -> str:
    """Paragraphs with the numbers that they name, by three digits or in the format that they say, rewrapped.

    Args:
        text: with places such as ``{count}``, ``{study/number}`` or ``{number|.0%}``.
        known: what they may name.
        where: the text is from.

    Raises:
        SystemExit: it names one that there is not.
    """

    def value(place: re.Match[str]) -> str:
        if place[1] not in known:
            sys.exit(f"{where} names {place[0]}, which no study has.")
        found = known[place[1]]
        return found if isinstance(found, str) else format(found, place[2] or ".3g")

    paragraphs = [PLACE.sub(value, " ".join(each.split())) for each in text.strip().split("\n\n")]
    return "\n\n".join(textwrap.fill(each, 120, break_long_words=False, break_on_hyphens=False) for each in paragraphs)


def overview(found: Sequence[Answer], folder: Path) -> str:
    """The picture of the README: what kinds of strategies reach at equal cost."""
    (headline,) = (answer for answer in found if answer.name == "headline")
    return save(headline.study.overview(headline.results), folder / PICTURE.name).read_text(encoding="utf-8")


def first_page(found: Sequence[Answer]) -> str:
    """The README with the picture and the sentence that answer the question, behind what hybridopt is."""
    title, what, _, _, *rest = README.read_text(encoding="utf-8").split("\n\n")
    answer = filled(ANSWER.read_text(encoding="utf-8"), numbers(found), ANSWER.name)
    return "\n\n".join([title, what, answer, *rest])


def numbers(found: Sequence[Answer]) -> Mapping[str, float | str]:
    """What the conclusion may name: verdicts, how many there are of each, and the studies' own numbers."""
    counts = Counter(answer.verdict for answer in found)
    known: dict[str, float | str] = {f"count:{verdict}": str(counts[verdict]) for verdict in (*VERDICTS, "unfinished")}
    known |= {"count": str(len(found)), "minutes": sum(answer.minutes for answer in found)}
    known |= {f"verdict:{answer.name}": answer.verdict for answer in found}
    for answer in found:
        own = {} if answer.judgement is None else answer.judgement.numbers
        known |= {f"{answer.name}/{name}": value for name, value in own.items()}
    return known


def made(folder: Path) -> dict[Path, str]:
    """All pages and figures, by where they belong.

    Args:
        folder: where they are made.
    """
    found = answers(folder)
    of_the_thread = [answer for answer in found if answer.study.number is not None]
    pages = {README: first_page(of_the_thread), PAGE: thread(found), METHODS: methods(found)}
    pages |= {FOLDER / file.name: file.read_text(encoding="utf-8") for file in sorted(folder.iterdir())}
    return pages | {PICTURE: overview(found, folder)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--take", type=Path, metavar="FOLDER", help="where studies were run, such as multirun")
    parser.add_argument("--check", action="store_true", help="write nothing, and name what is stale")
    arguments = parser.parse_args()
    if arguments.take is not None:
        print("taken: " + (", ".join(take(arguments.take)) or "nothing"))
    with tempfile.TemporaryDirectory() as folder:
        pages = made(Path(folder))
    stale = [path for path, text in pages.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if arguments.check:
        print("\n".join(f"{path.relative_to(ROOT)} is stale" for path in stale))
        return int(bool(stale))
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(pages[path], encoding="utf-8")
        print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
