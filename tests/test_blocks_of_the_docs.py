"""Every command and block of code of the docs is held to something.

Jobs are composed, and built where all that they name is at hand, those of a sweep so that each choice comes once.
Python runs, YAML and TOML are read, a preset is composed: all of that on the pages of which no test runs every block.
The commands of other programs are parsed by these programs themselves.
"""

from __future__ import annotations

import argparse
import os
import re
import runpy
import shlex
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.metadata import entry_points
from importlib.util import find_spec
from itertools import dropwhile, groupby
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from packaging.requirements import Requirement

from hybridopt.composition import registry

ROOT = Path(__file__).parent.parent
FENCE = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
RUN = {  # pages of which a test runs every block; each test fails where its page has nothing to run
    "docs/clusters.md": "tests/test_clusters_page.py",
    "docs/command-line.md": "tests/test_first_pages.py",
    "docs/fronts.md": "tests/test_fronts_page.py",
    "docs/plugins.md": "tests/test_docs.py",
    "docs/presets.md": "tests/test_presets_page.py",
    "docs/python.md": "tests/test_python_page.py",
    "docs/start.md": "tests/test_first_pages.py",
    "docs/tutorial.md": "tests/test_tutorial.py",
    "docs/tutorial-study.md": "tests/test_tutorial.py",
    "docs/your-own.md": "tests/test_your_own_page.py",
}
ELSEWHERE = {  # what cannot be tried here, and why
    "docker": "needs Docker",
    "gh": "needs an account",
    "git": "changes a repository",
    ".": "a word of the shell",
    "cd": "a word of the shell",
    "export": "a word of the shell",
}
NOT_BUILT = (  # files of the reader's, what is to be downloaded, and what a preview finds out
    "dataset=arrays", "weights=", "resume=", "rerun=", "checkpoint=", "pretrained=true", "sweep.preview=true"
)  # fmt: skip


class Block(NamedTuple):
    page: str
    language: str
    text: str


def blocks() -> Iterator[Block]:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("plugins/*/README.md")]
    for path in sorted(pages):
        page = str(path.relative_to(ROOT))
        if not page.startswith("docs/contracts/"):  # signatures, made from the code
            yield from (Block(page, *found) for found in FENCE.findall(path.read_text(encoding="utf-8")))


BLOCKS = list(blocks())


def commands() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Pages, and the words of each command on them, without variables that are set before it."""
    for page, language, text in BLOCKS:
        if language == "bash":
            for line in text.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                parts = (list(part) for joined, part in groupby(words, ("&&", "|", ";").__contains__) if not joined)
                yield from ((page, tuple(dropwhile(re.compile("[A-Z_]+=").match, part))) for part in parts)


COMMANDS = list(dict.fromkeys(commands()))
PROGRAM = ("hybridopt", "scripts/run")
JOBS = [(page, words[1:]) for page, words in COMMANDS if words[0] in PROGRAM and page not in RUN]
OTHERS = [(page, words) for page, words in COMMANDS if words[0] not in PROGRAM]


def test_what_is_run_elsewhere_is() -> None:
    assert len(JOBS) > 50
    assert len(OTHERS) > 50
    for page, test in RUN.items():
        assert (ROOT / page).exists()
        assert Path(page).stem in (ROOT / test).read_text(encoding="utf-8"), page


# -- jobs -------------------------------------------------------------------------------------------------------------


def jobs(words: Sequence[str]) -> Iterator[list[str]]:
    """The overrides of jobs of a command, which have each value of each axis of a sweep once or more."""
    given = get_args_parser().parse_args(words)
    axes = [axis for each in OverridesParser.create().parse_overrides(given.overrides) if (axis := values(each))]
    for number in range(max(map(len, axes), default=1)):
        yield [axis[number % len(axis)] for axis in axes]


def values(override: Override) -> list[str]:
    """An override as it is typed, or once for each value that it takes in a sweep; none of a range to be tuned."""
    if not override.is_sweep_override():
        return [override.input_line]
    if not override.is_discrete_sweep():
        return []
    head = override.input_line.partition("=")[0]
    found = [f"{head}={value}" for value in override.sweep_string_iterator() if value != "..."]  # and so on
    return found[:1] if head == "seed" else found


@pytest.mark.parametrize(("page", "words"), JOBS, ids=[f"{page}: {' '.join(words)}" for page, words in JOBS])
def test_a_job_composes_and_can_be_built(
    page: str,
    words: Sequence[str],
    composed: Callable[..., dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for overrides in jobs(words):
        config = composed(*overrides)
        if can_be_built(config, overrides):
            from hybridopt.execution.experiment import Job

            monkeypatch.chdir(tmp_path)
            Job(config | {"trainer": {**config["trainer"], "enable_progress_bar": False}}, tmp_path)


def can_be_built(config: dict[str, Any], overrides: Sequence[str]) -> bool:
    """Whether all that a job names comes with hybridopt itself."""
    own = registry.find("dataset", config["dataset"]["name"]).distribution == "hybridopt"
    return own and not any(mark in word for word in overrides for mark in NOT_BUILT)


# -- other programs ---------------------------------------------------------------------------------------------------


class Parsed(Exception):
    """A program has taken its arguments."""


@pytest.mark.parametrize(("page", "words"), OTHERS, ids=[f"{page}: {' '.join(words)}" for page, words in OTHERS])
def test_a_command_is_one(page: str, words: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    program, *arguments = words
    own = {entry.name: entry for entry in entry_points(group="console_scripts") if entry.value.startswith("hybridopt.")}
    if program in own:
        parsed(own[program].load(), words, monkeypatch)
    elif program == "python" and arguments[0] == "-m":
        assert find_spec(arguments[1])
    elif program == "python":
        script = (ROOT / page).parent / arguments[0]
        script = script if script.exists() else ROOT / arguments[0]
        monkeypatch.setattr(sys, "path", [str(script if script.is_dir() else script.parent), *sys.path])
        if script.is_dir() or "argparse" in script.read_text(encoding="utf-8"):
            program = partial(runpy.run_path, str(script), run_name="__main__")
            parsed(program, [str(script), *arguments[1:]], monkeypatch)
    elif program == "pip" and arguments[0] == "install":
        assert all(installable(each) for each in arguments[1:] if not each.startswith("-"))
    elif program == "pytest":
        assert all([*ROOT.glob(each), *ROOT.glob(f"plugins/*/{each}")] for each in arguments if "/" in each)
    elif program.startswith("scripts/"):
        assert os.access(ROOT / program, os.X_OK)
    else:
        assert program in ELSEWHERE or shutil.which(program), (
            f"say in {Path(__file__).name} why nobody can try {program}"
        )


def parsed(main: Callable[[], Any], words: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a program up to where its arguments have been parsed, or refused."""
    parse = argparse.ArgumentParser.parse_args

    def stop(self: argparse.ArgumentParser, *arguments: Any) -> argparse.Namespace:
        raise Parsed(parse(self, *arguments))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    monkeypatch.setattr(sys, "argv", list(words))
    with pytest.raises(Parsed):
        main()


def installable(what: str) -> bool:
    """Whether it is a folder with a project, or one of ours by name with an extra that it has, or somebody else's."""
    path, bracket, extras = what.partition("[")
    folder = ROOT / path if path.startswith((".", "plugins/")) else ROOT / "plugins" / path
    if not folder.is_dir():
        return not path.startswith((".", "plugins/", "hybridopt-")) and bool(Requirement(what).name)
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return not bracket or extras.rstrip("]") in project["optional-dependencies"]


# -- code -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "page", sorted({page for page, language, _ in BLOCKS if language == "python" and page not in RUN})
)
def test_python_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "page"}
    for block in BLOCKS:
        if block[:2] == (page, "python"):
            exec(compile(block.text, page, "exec"), namespace)


def test_files_can_be_read(composed: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    presets = [block for block in BLOCKS if block.language == "yaml" and block.text.startswith("# @package _global_")]
    assert presets
    for number, block in enumerate(presets):
        (tmp_path / "experiment").mkdir(exist_ok=True)
        (tmp_path / "experiment" / f"preset_{number}.yaml").write_text(block.text, encoding="utf-8")
        composed(f"hydra.searchpath=[file://{tmp_path}]", f"experiment=preset_{number}")
    for _, language, text in BLOCKS:
        if language == "toml":
            tomllib.loads(text)
        elif language == "yaml":
            yaml.safe_load(text)
