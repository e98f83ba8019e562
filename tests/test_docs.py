"""The reference pages are what docstrings and signatures say, and their examples compose."""

from __future__ import annotations

import importlib.util
import inspect
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hybridopt
from hybridopt import registry, testing

ROOT = Path(__file__).parent.parent
MAKER = ROOT / "scripts" / "make_docs.py"
PLUGINS = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
EXAMPLES = [shlex.split(line)[1:] for line in re.findall(r"^hybridopt (?:.*)$", PLUGINS, re.MULTILINE)]
PUBLIC = [(home, name) for home in (hybridopt, testing) for name in home.__all__]


@pytest.fixture(scope="module")
def maker() -> Any:
    spec = importlib.util.spec_from_file_location("make_docs", MAKER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_are_up_to_date(maker: Any) -> None:
    made = maker.pages()
    kept = {*(ROOT / "docs" / "contracts").glob("*.md"), ROOT / "docs" / "plugins.md"}
    assert set(made) == kept
    stale = [path.name for path, text in made.items() if path.read_text(encoding="utf-8") != text]
    assert not stale, "run python scripts/make_docs.py"


def test_the_pages_say_nothing_of_this_machine(maker: Any) -> None:
    for path, text in maker.pages().items():
        assert " at 0x" not in text, path
        assert str(ROOT) not in text, path


@pytest.mark.parametrize(("home", "name"), PUBLIC, ids=[name for _, name in PUBLIC])
def test_every_public_name_is_documented(home: Any, name: str) -> None:
    thing = getattr(home, name)
    assert (thing.__doc__ or "").strip()
    if inspect.isclass(thing):
        own = [base for base in thing.__mro__ if base.__module__.startswith("hybridopt")]
        members = {key for base in own for key, value in vars(base).items() if is_part_of_the_contract(key, value)}
        assert [key for key in sorted(members) if not (inspect.getdoc(getattr(thing, key)) or "").strip()] == []


def is_part_of_the_contract(key: str, value: Any) -> bool:
    return not key.startswith("_") and (inspect.isfunction(value) or isinstance(value, property | classmethod))


def test_every_built_in_plugin_has_an_example() -> None:
    kinds = ("model", "dataset", "objective", "encoding", "strategy")
    ours = {f"{kind}={p.name}" for kind in kinds for claims in registry.plugins(kind).values() for p in claims
            if p.distribution == "hybridopt"}  # fmt: skip
    assert {example[0] for example in EXAMPLES} == ours


@pytest.mark.parametrize("overrides", EXAMPLES, ids=" ".join)
def test_an_example_composes_and_can_be_built(
    overrides: list[str], composed: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = composed(*overrides)
    kind, _, name = overrides[0].partition("=")
    assert config[kind]["name"] == name
    if overrides[0] != "dataset=arrays":  # whose file is the reader's
        from hybridopt.experiment import Job

        monkeypatch.chdir(tmp_path)
        Job(config | {"trainer": {**config["trainer"], "enable_progress_bar": False}}, tmp_path)
