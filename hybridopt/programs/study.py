"""``hybridopt-study``: claims, the experiments that test them, and their verdicts."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hybridopt.composition import registry
from hybridopt.errors import ConfigError, HybridoptError, StorageError, brief
from hybridopt.programs import run as program
from hybridopt.programs.completion import offer
from hybridopt.programs.pipes import ending_with_reader
from hybridopt.programs.version import add_flag
from hybridopt.toolbox.credentials import masked
from hybridopt.toolbox.extras import demand

ALL = "all"
OWN = ("profile", "workers")  # of the words after a name; the others are overrides for the launcher and the like
COMPLETION = "complete -C 'hybridopt-study completions' hybridopt-study"


@ending_with_reader()
def main(arguments: Sequence[str] | None = None) -> None:
    """The console program."""
    chosen = parser().parse_args(arguments)
    try:
        sys.exit(chosen.run(chosen))
    except HybridoptError as error:
        sys.exit(masked(str(error)))


def parser() -> argparse.ArgumentParser:
    """What can be typed."""
    made = argparse.ArgumentParser(
        prog="hybridopt-study",
        description=str(__doc__).split(": ", 1)[1],
        epilog='Tab completion: eval "$(hybridopt-study completion)".',
    )
    add_flag(made)
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    _command(commands, "list", show_all, "list the studies that are installed").add_argument(
        "--json", action="store_true", help="print JSON instead of a table"
    )
    _command(commands, "show", show, "show a study: claim, rule, arms and profiles").add_argument("study")
    runs = _command(commands, "run", run, "run a study, or go on with one, and judge it")
    runs.add_argument("study", help=f"its name, or {ALL}")
    runs.add_argument(
        "overrides",
        nargs="*",
        help="profile=smoke|docs|full, workers=<number>, the study's own settings, and overrides such as tracking=none",
    )
    report = _command(commands, "report", report_on, "judge a study's results once more, and write its page")
    report.add_argument("study", help=f"its name, or {ALL}")
    report.add_argument("--profile", default="docs")
    report.add_argument("--results", type=Path, help="the file that was kept; that of multirun/ if left out")
    report.add_argument("--out", type=Path, default=Path("study"), help="folder to write into (study)")
    _command(commands, "completion", completion, "print what makes bash complete the names of studies")
    commands.add_parser("completions").set_defaults(run=completions)
    commands.choices["completions"].add_argument("words", nargs="*")
    return made


def _command(commands: Any, name: str, run: Callable[..., int], summary: str) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    command.set_defaults(run=run)
    return command


# -- what is known ----------------------------------------------------------------------------------------------------


def show_all(chosen: argparse.Namespace) -> int:
    """The studies, with their claims and minutes."""
    from hybridopt.study.finding import find_study

    found = {name: find_study(name) for name in registry.names("study")}
    told = {
        name: {"claim": study.claim, "minutes": {key: each.minutes for key, each in study.profiles.items()}}
        for name, study in found.items()
    }
    if chosen.json:
        print(json.dumps(told, indent=1))
        return 0
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table("study", "claim", "minutes", box=SIMPLE_HEAD, pad_edge=False)
    for name, each in told.items():
        minutes = ", ".join(f"{key} {value:g}" for key, value in each["minutes"].items())
        table.add_row(name, each["claim"], minutes)
    Console(width=max(Console().width, 100), highlight=False).print(table)
    return 0


def show(chosen: argparse.Namespace) -> int:
    """One study, as it stands before it runs."""
    from hybridopt.study.finding import find_study
    from hybridopt.study.page import described

    print(described(chosen.study, find_study(chosen.study)))
    return 0


# -- what is run ------------------------------------------------------------------------------------------------------


def run(chosen: argparse.Namespace) -> int:
    """Run studies one after the other, each as a sweep of its own."""
    return max(run_one(name, chosen.overrides) for name in names(chosen.study))


def run_one(name: str, overrides: Sequence[str]) -> int:
    """One study, by the program that runs all sweeps; its exit code."""
    former = sys.argv
    sys.argv = ["hybridopt", "-m", "hydra/sweeper=study", f"hydra.sweeper.study={name}", *spelt_out(name, overrides)]
    try:
        program.main()
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    finally:
        sys.argv = former
    return 0


def spelt_out(name: str, overrides: Sequence[str]) -> list[str]:
    """What was typed after a study's name, with our own words and its settings as those of the sweeper.

    Raises:
        ConfigError: a word is no override, or would change what the study computes.
    """
    from hybridopt.study.finding import refuse_changes, settings_of

    own = {word: f"hydra.sweeper.{word}" for word in OWN}
    own |= {word: f"+hydra.sweeper.settings.{word}" for word in settings_of(name)}
    told = []
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise ConfigError(f"{override!r} is no override: type profile=docs, workers=2 or tracking=none.")
        if key not in own:
            refuse_changes([override])
        told.append(f"{own.get(key, key)}={value}")
    return told


def names(asked: str) -> list[str]:
    """The studies that are meant.

    Raises:
        PluginError: there is none of that name.
    """
    if asked == ALL:
        return registry.names("study")
    registry.meant("study", asked)
    return [asked]


def report_on(chosen: argparse.Namespace) -> int:
    """Judge what was kept."""
    from hybridopt.study.finding import find_study
    from hybridopt.study.keeping import load
    from hybridopt.study.page import write

    demand("report", "A study")
    if chosen.study == ALL and chosen.results is not None:
        raise ConfigError(f"--results names the results of one study, and {ALL} has several: name a study.")
    for name in names(chosen.study):
        kept = chosen.results or Path(f"multirun/study-{name}-{chosen.profile}/study/{name}.json")
        results = load(kept)
        study = find_study(name, results.settings)
        try:
            written = write(name, study, results, chosen.out)
        except OSError as error:
            raise StorageError(
                f"The page cannot be written into {chosen.out} ({brief(error)}): name another folder by --out."
            ) from error
        print(f"{name}: {'unfinished' if written.judgement is None else written.judgement.verdict}, {written.html}")
    return 0


# -- completion -------------------------------------------------------------------------------------------------------


def completion(_: argparse.Namespace) -> int:
    """``completion``: what bash evaluates."""
    print(COMPLETION)
    return 0


def completions(_: argparse.Namespace) -> int:
    """``completions``: what bash asks for, with the line so far in COMP_LINE."""
    offer(candidates)
    return 0


def candidates(words: Sequence[str]) -> list[str]:
    """What may come after these words; nothing is imported."""
    match list(words):
        case []:
            return ["completion", "list", "report", "run", "show"]
        case ["show"]:
            return registry.names("study")
        case ["run" | "report"]:
            return [*registry.names("study"), ALL]
        case ["run", name, *_]:
            settings = registry.meant("study", name).describe().names if name != ALL else ()
            return sorted(f"{word}=" for word in (*OWN, *settings))
        case ["report", *_]:
            return ["--out", "--profile", "--results"]
    return []


if __name__ == "__main__":
    main()
