"""The reference pages are what docstrings and signatures say, and their examples compose."""

from __future__ import annotations

import inspect
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scripted import tool

import hybridopt
from hybridopt import testing
from hybridopt.composition import registry
from hybridopt.composition.kinds import PARTS

ROOT = Path(__file__).parent.parent
PLUGINS = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
EXAMPLES = [shlex.split(line)[1:] for line in re.findall(r"^hybridopt (?:.*)$", PLUGINS, re.MULTILINE)]
GUIDE = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
PUBLIC = [(home, name) for home in (hybridopt, testing) for name in home.__all__]


@pytest.fixture(scope="module")
def maker() -> Any:
    return tool("make_docs")


@pytest.mark.slow
def test_the_pages_are_up_to_date(maker: Any) -> None:
    made = maker.pages()
    kept = {*(ROOT / "docs" / "contracts").glob("*.md"), ROOT / "docs" / "plugins.md"}
    assert set(made) == kept
    stale = [path.name for path, text in made.items() if path.read_text(encoding="utf-8") != text]
    assert not stale, "run python scripts/tools/make_docs.py"


def test_the_pages_say_nothing_of_this_machine(maker: Any) -> None:
    for path, text in maker.pages().items():
        assert " at 0x" not in text, path
        assert str(ROOT) not in text, path


@pytest.mark.parametrize(("home", "name"), PUBLIC, ids=[name for _, name in PUBLIC])
def test_every_public_name_is_documented(home: Any, name: str, maker: Any) -> None:
    thing = getattr(home, name)
    assert maker.alias_of(name)[1] if maker.is_alias(thing) else (thing.__doc__ or "").strip()
    if inspect.isclass(thing):
        own = [base for base in thing.__mro__ if base.__module__.startswith("hybridopt")]
        members = {key for base in own for key, value in vars(base).items() if is_part_of_the_contract(key, value)}
        assert [key for key in sorted(members) if not (inspect.getdoc(getattr(thing, key)) or "").strip()] == []


def is_part_of_the_contract(key: str, value: Any) -> bool:
    return not key.startswith("_") and (inspect.isfunction(value) or isinstance(value, property | classmethod))


def test_every_built_in_plugin_has_an_example() -> None:
    ours = {f"{kind}={p.name}" for kind in PARTS for claims in registry.plugins(kind).values() for p in claims
            if p.distribution == "hybridopt"}  # fmt: skip
    assert {f"{kind}={name}" for kind, name in map(shown, EXAMPLES)} == ours


def shown(example: list[str]) -> tuple[str, str]:
    """The kind and the name of the plugin that an example shows; of several objectives it is the last one."""
    beside = re.fullmatch(r"objectives=\{.*: (\w+)\}", example[0])
    kind, _, name = example[0].partition("=")
    return ("objective", beside[1]) if beside else (kind, name)


@pytest.mark.parametrize("overrides", EXAMPLES, ids=" ".join)
def test_an_example_composes_and_can_be_built(
    overrides: list[str], composed: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = composed(*overrides)
    kind, name = shown(overrides)
    assert name in (config[kind]["name"], *config[kind].get("parts", {}))
    if overrides[0] != "dataset=arrays":  # whose file is the reader's
        from hybridopt.execution.experiment import Job

        monkeypatch.chdir(tmp_path)
        Job(config | {"trainer": {**config["trainer"], "enable_progress_bar": False}}, tmp_path)


# -- the guide to the strategies --------------------------------------------------------------------------------------


def test_the_guide_has_a_row_for_each_strategy_that_says_when_to_try_it() -> None:
    rows = re.findall(r"^\| \[`(\w+)`\]\(plugins\.md#\w+\) \| (.+?) \|", GUIDE, re.MULTILINE)
    ours = {name for name in registry.names("strategy") if registry.find("strategy", name).distribution == "hybridopt"}
    assert {name for name, _ in rows} == ours, "run python scripts/tools/make_methods.py"
    assert all(advice.strip() for _, advice in rows)


def test_every_figure_of_the_guide_is_one_that_was_kept() -> None:
    kept = json.loads((ROOT / "docs" / "methods.json").read_text(encoding="utf-8"))
    shown = dict(re.findall(r"^\| \[`(\w+)`\].*\| (\d\.\d+) \(", GUIDE, re.MULTILINE))
    assert shown == {name: f"{figure['median']:.3f}" for name, figure in kept.items()}
    assert len(shown) > 30
