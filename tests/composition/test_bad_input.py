"""Whatever is typed ends in something built or in one sentence, and leaves nothing behind."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybridopt import build, compose
from hybridopt.composition import registry, schema
from hybridopt.composition.checking import types_of
from hybridopt.composition.kinds import PARTS
from hybridopt.errors import HybridoptError

TRIES = int(os.environ.get("HYBRIDOPT_BAD_INPUTS", "100"))
LOCAL = ("iris", "wine", "diabetes")  # data sets that need no network and no time
RIGHT = {
    int: ["2", "3", "8"],
    float: ["0.1", "0.5", "0.01"],
    bool: ["true", "false"],
    str: ["auto"],
    Any: ["auto", "2"],
}
BROKEN = [
    *("nan", "inf", "-inf", "[nan]", "[1,inf]", "1e300", "-1e300", "3.5e38", "1e30", "-1", "0", "-0.0", "1e-320"),
    *("1000000000", "-1000000000", "9223372036854775808", "18446744073709551616", "1.5", "[]", "[[]]", "[1000000000]"),
    *("{}", "{a: 1}", "{a: nan}", "''", "' '", "abc", "'nan'", "ünï", "'a\nb'", "???", "'${nope}'", "'${seed}'", "1_0"),
]
USUAL = {"model": "mlp", "dataset": "iris", "objective": "cross_entropy", "encoding": "direct"}
KEYS = ["nope", "lrr", "sed", "_x", "name_", "spec", "self", "kwargs", "generator"]


def names(kind: str) -> list[str]:
    """The plugins of a kind that can be built here at once."""
    return [name for name in registry.names(kind) if kind != "dataset" or name in LOCAL]


def leaves(chosen: dict[str, str]) -> dict[str, list[str]]:
    """The settings of a job with these plugins, by dotted path, and values that suit their types."""
    frame = {
        f"{path}.{name}" if path else name: right(kind)
        for path, group in schema.FRAMES.items()
        for name, kind in types_of(group).items()
        if name not in ("arm", "resume", "uri", *schema.FRAMES, *PARTS)
    }
    plugins = {
        f"{kind}.{one.name}": [str(choice) for choice in one.choices] or right(one.type)
        for kind, name in chosen.items()
        for one in registry.find(kind, name).describe().parameters
    }
    return frame | plugins


def right(kind: Any) -> list[str]:
    """Values of a type."""
    if get_origin(kind) is list:
        return [f"[{value}]" for value in right(get_args(kind)[0])]
    return [value for one in get_args(kind) or (kind,) for value in RIGHT.get(one, ["null"])]


@st.composite
def jobs(draw: Callable[[Any], Any]) -> list[str]:
    """What a user types: plugins, and some of their settings and of the frame's, right, wrong or not there."""
    chosen = {kind: draw(st.sampled_from(names(kind))) for kind in PARTS}
    chosen |= {kind: name for kind, name in USUAL.items() if draw(st.integers(0, 3))}  # which go with each other
    known = leaves(chosen)
    sound = st.sampled_from([f"{path}={value}" for path, values in known.items() for value in values])
    wrong = st.sampled_from(BROKEN) | st.integers().map(str) | st.floats().map(str)
    unknown = st.builds("+{}.{}".format, st.sampled_from([*schema.FRAMES, *PARTS]), st.sampled_from(KEYS))
    broken = st.builds("{}={}".format, st.sampled_from(list(known)) | unknown, wrong)
    removed = st.builds("~{}".format, st.sampled_from(list(known)))
    typed = draw(st.lists(sound, max_size=3)) + draw(st.lists(broken | broken | broken | removed, max_size=1))
    others = {one.partition("=")[0]: one.replace("+.", "+") for one in typed}
    return [*(f"{kind}={name}" for kind, name in chosen.items()), *others.values()]


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty directory to stand in."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not list(tmp_path.iterdir())


def outcome(overrides: list[str]) -> str | None:
    """Why what is typed is refused; None where it is built."""
    try:
        build(compose(*overrides))
    except HybridoptError as error:
        return str(error)
    return None


@settings(max_examples=TRIES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(jobs())
def test_a_job_is_built_or_refused_in_one_sentence(nowhere: Path, overrides: list[str]) -> None:
    said = outcome(overrides)
    assert said is None or (said.endswith((".", "?")) and len(said.splitlines()) == 1)
    assert not list(nowhere.iterdir())
