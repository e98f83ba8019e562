"""The page of a study: the claim, the verdict, what was found, and how."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hybridopt.core.study import Arm, Judgement, Profile, Results, Study
from hybridopt.errors import PluginError, brief, counted
from hybridopt.report.page import bullets, escaped, markdown_table, page
from hybridopt.report.pictures import save
from hybridopt.study.keeping import keep, rounded
from hybridopt.tracking.files import write_atomically

LITERAL = re.compile(r"``([^`]+)``")


@dataclass(frozen=True)
class Written:
    """What a study has left in a folder.

    Args:
        judgement: what it says; None where runs are missing.
        markdown: the page.
        html: the same, with its figure inside.
        results: the file of :mod:`~hybridopt.study.keeping`.
        figure: None where there is none.
    """

    judgement: Judgement | None
    markdown: Path
    html: Path
    results: Path
    figure: Path | None

    @property
    def files(self) -> list[Path]:
        """All of them."""
        return [path for path in (self.markdown, self.html, self.results, self.figure) if path is not None]


def write(name: str, study: Study, results: Results, folder: Path) -> Written:
    """Judge results, and write the page of a study.

    Args:
        name: the study's.
        study: it.
        results: what was measured.
        folder: where to write ``<name>.md``, ``<name>.html``, ``<name>.json`` and ``<name>.svg``.

    Raises:
        PluginError: the study cannot judge its results, or draw them.
    """
    kept = keep(results, folder / f"{name}.json")  # first: whatever the study makes of them, nothing has to run again
    results = rounded(results)
    judgement = None if results.missing else judge(study, results)
    figure = None if judgement is None else draw(study, results, folder / f"{name}.svg")
    text = markdown(name, study, results, judgement, figure)
    written = Written(judgement, folder / f"{name}.md", folder / f"{name}.html", kept, figure)
    write_atomically(written.markdown, text)
    write_atomically(written.html, page(f"{name}: {study.claim}", text, folder))
    return written


def judge(study: Study, results: Results) -> Judgement:
    """What a study says of results.

    Raises:
        PluginError: its rule does not work.
    """
    try:
        return study.judge(results)
    except Exception as error:
        raise PluginError(
            f"{type(study).__name__} cannot judge its results ({brief(error)}): mend its judge, and type "
            "hybridopt-study report; nothing has to run again."
        ) from error


def draw(study: Study, results: Results, path: Path) -> Path | None:
    """The figure of a study as a file.

    Raises:
        PluginError: it cannot be drawn.
    """
    try:
        figure = study.draw(results)
    except Exception as error:
        raise PluginError(
            f"{type(study).__name__} cannot draw its results ({brief(error)}): mend its draw, and type "
            "hybridopt-study report; nothing has to run again."
        ) from error
    return None if figure is None else save(figure, path)


def markdown(name: str, study: Study, results: Results, judgement: Judgement | None, figure: Path | None) -> str:
    """The page as Markdown."""
    profile = study.profiles[results.profile]
    parts = [f"# {name}", f"> {escaped(study.claim)}\n>\n> {escaped(study.said_by)}"]
    parts += _found(results, judgement)
    if figure is not None:
        parts.append(f"![{name}]({figure.name})")
    for table in () if judgement is None else judgement.tables:
        parts += [f"**{escaped(table.title)}**"] if table.title else []
        parts.append(markdown_table(table.head, table.rows))
    parts += ["## How it is tested", paragraphs(study.purpose()), "## Rule of the verdict", paragraphs(study.rule)]
    parts += ["## What was run", *_conditions(name, study, results, profile)]
    return "\n\n".join(parts) + "\n"


def paragraphs(text: str) -> str:
    """A docstring's text as Markdown that shows what it says and does nothing else; what is ``literal`` is code."""
    return "\n\n".join(_prose(" ".join(part.split())) for part in text.split("\n\n"))


def _prose(text: str) -> str:
    pieces = LITERAL.split(text)
    return "".join(f"`{piece}`" if place % 2 else escaped(piece) for place, piece in enumerate(pieces))


def described(name: str, study: Study) -> str:
    """A study before it runs, as Markdown."""
    parts = [f"# {name}", f"> {study.claim}\n>\n> {study.said_by}", study.purpose(), f"Rule: {study.rule}"]
    for title, profile in study.profiles.items():
        arms, cells = study.arms(profile), study.cells(profile)
        sizes = "".join(f", {key} {value}" for key, value in profile.sizes.items())
        runs = f"{counted(len(arms), 'arm')} with {counted(profile.seeds, 'seed')}" if arms else ""
        told = [each for each in (runs, counted(len(cells), "cell") if cells else "") if each]
        parts.append(f"profile={title}: about {profile.minutes:g} minutes; {', '.join(told)}{sizes}")
        if title == "docs":
            parts += [f"- {arm}: {shlex.join([*study.base, *each.overrides])}" for arm, each in arms.items()]
    return "\n\n".join(parts)


def _found(results: Results, judgement: Judgement | None) -> Iterator[str]:
    if judgement is None:
        missing = len(results.missing)
        yield f"**No verdict**: {missing} {'job has' if missing == 1 else 'jobs have'} not finished."
        yield bullets(results.missing)
        return
    small = " (a small profile, which only shows that the study runs)" if results.profile == "smoke" else ""
    yield f"**{judgement.verdict}**{small}"
    yield bullets(judgement.found)


def _conditions(name: str, study: Study, results: Results, profile: Profile) -> Iterator[str]:
    chosen = "".join(f" {key}={value}" for key, value in results.settings.items())
    yield f"```bash\nhybridopt-study run {name}{chosen} profile={results.profile}\n```"
    arms = study.arms(profile)
    told: dict[str, str] = {"profile": results.profile}
    if arms:
        told |= {"seeds": f"{profile.fresh[0]} to {profile.fresh[-1]}", "shared by all arms": shlex.join(study.base)}
    if profile.trials and any(arm.tuned for arm in arms.values()):
        told["tuning of an arm"] = (
            f"{counted(profile.trials, 'trial')}, each judged by {counted(profile.judges, 'other seed')}"
        )
    told |= {str(key): str(value) for key, value in profile.sizes.items()}
    told |= {"forwards in all": f"{results.forwards:.3g}"} if arms else {}
    told |= {str(key): str(value) for key, value in results.provenance.items()}
    yield markdown_table(["", ""], [[key, value] for key, value in told.items() if value])
    if arms:
        yield markdown_table(["arm", "overrides", "settings"], list(_arm_rows(arms, results)))


def _arm_rows(arms: Mapping[str, Arm], results: Results) -> Iterator[list[str]]:
    for name, arm in arms.items():
        settings = "as they stand"
        if arm.settings_of is not None:
            settings = f"those of {arm.settings_of}"
        elif name in results.tuned:
            found = results.tuned[name]
            best = shlex.join(found.overrides) or "nothing to tune"
            settings = f"{best} ({counted(found.trials, 'trial')}, {found.forwards:.3g} forwards)"
        yield [name, shlex.join(arm.overrides), settings]


def short(name: str, study: Study, judgement: Judgement | None, results: Results) -> str:
    """What fits into a run's description."""
    return "\n\n".join([f"# {name}", f"> {escaped(study.claim)}", *_found(results, judgement)])
