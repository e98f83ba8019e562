"""The console program ``hybridopt-plugins``."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hybridopt.composition import registry
from hybridopt.composition.kinds import KINDS
from hybridopt.composition.renamed import current_name
from hybridopt.errors import ConfigError, HybridoptError, options
from hybridopt.programs.completion import offer
from hybridopt.programs.pipes import ending_with_reader
from hybridopt.programs.plugins import listing, scaffold
from hybridopt.programs.version import add_flag

FINE, FOUND, MISUSED = 0, 1, 2  # exit codes: nothing wrong; something is wrong with a plugin; a mistake in the command
IMPORT_LIMIT = 120.0  # seconds; a first import of torch takes some of them
CHECK_LIMIT = 1800.0
COMPLETION = "complete -C 'hybridopt-plugins completions' hybridopt-plugins"


@ending_with_reader()
def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point of ``hybridopt-plugins`` and ``python -m hybridopt.programs.plugins``."""
    given = parser().parse_args(arguments)
    try:
        code = given.run(given)
    except HybridoptError as error:
        print(error, file=sys.stderr)
        code = MISUSED
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


# -- arguments --------------------------------------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    whole = argparse.ArgumentParser(
        prog="hybridopt-plugins",
        description="The plugins of hybridopt: which there are, whether they work, and a start for your own.",
        epilog="Exit codes: 0 all is well, 1 something is wrong with a plugin, 2 the command is. "
        'Tab completion: eval "$(hybridopt-plugins completion)".',
    )
    add_flag(whole)
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    adders = (_add_list, _add_show, _add_check, _add_new, _add_doctor)
    for add in adders:
        add(commands)
    _command(commands, "completion", completion, "print what makes bash complete the names of plugins")
    _command(commands, "completions", completions, None).add_argument("words", nargs="*")
    return whole


def _command(commands: Any, name: str, run: Callable[..., int], summary: str | None) -> argparse.ArgumentParser:
    shown = {} if summary is None else {"help": summary, "description": f"{summary[0].upper()}{summary[1:]}."}
    command = commands.add_parser(name, **shown)
    command.set_defaults(run=run)
    return command


def _add_list(commands: Any) -> None:
    command = _command(commands, "list", show_list, "list all that is installed; nothing is imported")
    command.add_argument("what", nargs="?", help="a kind of plugin or a package, to list no others")
    _add_json(command)


def _add_show(commands: Any) -> None:
    command = _command(commands, "show", show_one, "show a plugin's settings, docstring, source and needs")
    command.add_argument("kind", choices=list(KINDS))
    command.add_argument("name", help="the plugin, or package:name")
    _add_limit(command, IMPORT_LIMIT, "where its source does not tell, importing it may take")
    _add_json(command)


def _add_check(commands: Any) -> None:
    command = _command(commands, "check", check, "run the conformance kit, each plugin in a process of its own")
    command.add_argument("what", nargs="*", help="a kind and a name, or a package; all plugins if left out")
    _add_limit(command, CHECK_LIMIT, "the checks of a plugin may take")
    _add_json(command)


def _add_new(commands: Any) -> None:
    command = _command(commands, "new", new, "write a package with one plugin and its tests")
    command.add_argument("package", help="its name for pip, such as hybridopt-mine; also the folder's")
    command.add_argument("--kind", required=True, choices=scaffold.OFFERED)
    command.add_argument("--name", help="the plugin's name; the package's, without hybridopt-, if left out")
    command.add_argument("--into", type=Path, default=Path(), metavar="FOLDER", help="where to make it; here")


def _add_doctor(commands: Any) -> None:
    command = _command(commands, "doctor", doctor, "find broken, doubled and outdated plugins, and say what to do")
    command.add_argument("--no-import", action="store_true", help="look at metadata and files only, which is quick")
    _add_limit(command, IMPORT_LIMIT, "importing a plugin may take")
    _add_json(command)


def _add_limit(command: argparse.ArgumentParser, default: float, what: str) -> None:
    text = f"{what} this many seconds, {default:g} if left out"
    command.add_argument("--timeout", type=_seconds, default=default, metavar="SECONDS", help=text)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise ValueError("not positive")
    return seconds


def _add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print JSON instead of a table")


# -- list and show ----------------------------------------------------------------------------------------------------


def show_list(given: argparse.Namespace) -> int:
    """``list``."""
    rows = listing.rows()
    if given.what is not None:
        rows = [row for row in rows if row.kind == given.what or registry.same_package(row.package, given.what)]
        if not rows:
            known = {*KINDS, listing.CONFIG, *(row.package for row in listing.rows())}
            raise ConfigError(f"There is no kind and no package {given.what!r}.{options(known, given.what)}")
    if given.json:
        _print_json([asdict(row) for row in rows])
        return FINE
    from hybridopt.programs.plugins.views import list_table

    list_table(rows)
    return FINE


def show_one(given: argparse.Namespace) -> int:
    """``show``."""
    from hybridopt.programs.plugins.showing import facts_of
    from hybridopt.programs.plugins.views import page

    facts = facts_of(registry.find(given.kind, current_name(given.kind, given.name)), given.timeout)
    if given.json:
        _print_json(asdict(facts))
    else:
        page(facts)
    return FINE if facts.problem is None else FOUND


# -- check and doctor -------------------------------------------------------------------------------------------------


def check(given: argparse.Namespace) -> int:
    """``check``."""
    from hybridopt.programs.plugins.checking import reports
    from hybridopt.programs.plugins.views import check_summary, report_lines

    done = []
    for report in reports(chosen(given.what), given.timeout):
        done.append(report)
        if not given.json:
            report_lines(report)
    if given.json:
        _print_json([asdict(report) for report in done])
    else:
        check_summary(done)
    return FOUND if any(report.failures for report in done) else FINE


def chosen(what: Sequence[str]) -> list[registry.Plugin]:
    """The plugins that ``check`` is asked for.

    Raises:
        ConfigError: it is neither a kind and a name, nor a package.
        PluginError: there is no such plugin.
    """
    match what:
        case []:
            return list(listing.every_plugin())
        case [kind, name] if kind in KINDS:
            return [registry.find(kind, current_name(kind, name))]
        case [package]:
            plugins = list(listing.every_plugin())
            found = [plugin for plugin in plugins if registry.same_package(plugin.distribution, package)]
            if found:
                return found
            known = {plugin.distribution for plugin in plugins}
            raise ConfigError(f"No package called {package!r} brings plugins.{options(known, package)}")
    raise ConfigError(
        f"Type a kind and a name, such as check strategy adam, or a package, and not {' '.join(what)!r}."
        f"{options(KINDS, what[0])}"
    )


def doctor(given: argparse.Namespace) -> int:
    """``doctor``."""
    from hybridopt.programs.plugins.doctor import examine
    from hybridopt.programs.plugins.views import finding_lines

    findings = examine(given.timeout, imports=not given.no_import)
    if given.json:
        _print_json([asdict(finding) for finding in findings])
    else:
        finding_lines(findings, len(listing.rows()))
    return FOUND if findings else FINE


# -- new --------------------------------------------------------------------------------------------------------------


def new(given: argparse.Namespace) -> int:
    """``new``."""
    root = scaffold.create(given.package, given.kind, given.name, given.into)
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        print(path)
    print(f"Now type: pip install --editable {shlex.quote(f'{root}[test]')} && pytest {shlex.quote(str(root))}")
    return FINE


# -- completion -------------------------------------------------------------------------------------------------------


def completion(given: argparse.Namespace) -> int:
    """``completion``: what bash evaluates."""
    print(COMPLETION)
    return FINE


def completions(given: argparse.Namespace) -> int:
    """``completions``: what bash asks for, with the line so far in COMP_LINE."""
    offer(candidates)
    return FINE


def candidates(words: Sequence[str]) -> list[str]:
    """What may come after these words."""
    packages = {plugin.distribution for plugin in listing.every_plugin()}
    match list(words):
        case []:
            return ["check", "completion", "doctor", "list", "new", "show"]
        case ["list"]:
            return sorted({*KINDS, listing.CONFIG, *packages})
        case ["check"]:
            return sorted({*KINDS, *packages})
        case ["show"]:
            return sorted(KINDS)
        case ["show" | "check", kind] if kind in KINDS:
            return registry.names(kind)
        case ["new", *_, "--kind"]:
            return sorted(scaffold.OFFERED)
        case ["new", *_]:
            return ["--into", "--kind", "--name"]
    return []


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))
