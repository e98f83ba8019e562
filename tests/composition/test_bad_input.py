"""Whatever is typed ends in something built or in one sentence, and leaves nothing behind."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from math import inf, nan
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from fake_packages import install, on_path
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybridopt import build, compose
from hybridopt.composition import building, registry, schema
from hybridopt.composition.checking import types_of
from hybridopt.composition.kinds import PARTS
from hybridopt.errors import ConfigError, HybridoptError
from hybridopt.programs import run as program

TRIES = int(os.environ.get("HYBRIDOPT_BAD_INPUTS", "60"))
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


REFUSED = {
    "experiment=es_then_adm": "There is no experiment called 'es_then_adm'. Did you mean 'es_then_adam'?",
    "strategy=adm": "There is no strategy called 'adm'. Did you mean 'adam'?",
    "+encoding@strategy.mask=typo": "There is no encoding called 'typo'.",
    "budget.forwardz=1": "There is no setting budget.forwardz. Did you mean 'forwards'?",
    "+budget.forwardz=1": "There is no setting budget.forwardz. Did you mean 'forwards'?",
    "+oracle.chunks=1": "There is no setting oracle.chunks. Did you mean 'chunk'?",
    "+tracking.logmodel=true": "There is no setting tracking.logmodel. Did you mean 'log_model'?",
    "+sweep.reports=true": "There is no setting sweep.reports. Did you mean 'report'?",
    "+sweep.arm.names=a": "There is no setting sweep.arm.names. Did you mean 'name'?",
    "+trainer.profilr=simple": "There is no setting trainer.profilr. Did you mean 'profiler'?",
    "+trainer.gradient_clip_val=1.0": "trainer.gradient_clip_val is not heeded",
    "+trainer.callbacks.early_stopping={monitor: val/loss, min_delta: inf}": "min_delta must be a finite number",
    "+trainer.callbacks.early_stopping=5": "trainer.callbacks must be a mapping",
    "+sed=1": "There is no setting sed. Did you mean 'seed'?",
    "+model.hiden=[4]": "There is no setting model.hiden of mlp. Did you mean 'hidden'?",
    "seed=soon": "seed=soon",
    "seed=18446744073709551615": "seed must be",
    "seed=4294967296": "seed must be between 0 and 4294967295",
    "~seed": "seed is missing",
    "~tracking.name": "tracking.name is missing",
    "strategy=null": "A part of a job is chosen by the name of a config",
    "strategy.search_share=nan": "strategy.search_share must be a finite number, but is nan.",
    "strategy.search.lr=1e300": "strategy.search.lr must be between -3.4e+38 and 3.4e+38, but is 1e+300.",
    "strategy.search=2": "strategy.search takes plugins of the kind strategy, and is 2",
    "seed=${seed}": "seed: Recursive interpolation",
    "tracking.log_model=perhaps": "tracking.log_model must be true or false, but is 'perhaps'.",
    "oracle.chunk=0": "oracle.chunk must be auto or a whole number",
    "oracle.mode=vmapp": "oracle.mode must be one of auto, vmap, loop, but is 'vmapp'. Did you mean 'vmap'?",
    "threads=100000": "threads must be auto or a whole number between 1 and 1024",
    "trainer.devices=99999": "trainer.devices must be auto, -1, or a whole number between 1 and 4096",
    "model.hidden=[1000000000]": "this machine has",
    "strategy.search.popsize=1000000000": "popsize=1000000000 of OpenAIES is larger than budget.forwards",
}


@pytest.mark.parametrize(("typed", "sentence"), REFUSED.items(), ids=REFUSED)
def test_a_refusal_says_what_to_type_instead(typed: str, sentence: str) -> None:
    said = outcome([typed])
    assert said is not None
    assert sentence in said


def test_nobody_asks_for_nan_but_a_third_partys_settings_are_finite(tmp_path: Path) -> None:
    source = "def make(rate: float, more: dict = {}, *, anything=None, **others):\n    raise AssertionError\n"
    install(tmp_path, "acme", source, model={"widget": "make"})
    with on_path(tmp_path):
        for bad in ({"rate": nan}, {"rate": 1, "more": {"a": [inf]}}, {"rate": 1, "anything": nan}, {"rate": "fast"}):
            with pytest.raises(ConfigError, match=r"^model\.\w+(\.a\.0)? must be a (finite )?number, but is"):
                building.build("model", {"name": "widget", **bad})


@pytest.mark.parametrize(
    ("typed", "place"),
    [
        ("model.hidden=[-1]", []),
        ("objective=mse", ["hydra.run.dir=a/b"]),
        ("strategy.search_share=nan", ["hydra.run.dir=kept/b"]),
        ("seeds=2", ["hydra.run.dir=kept"]),
        ("experiment=zero_two", []),
    ],
)
def test_a_refused_run_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], typed: str, place: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("kept").mkdir()
    monkeypatch.setattr(sys, "argv", ["hybridopt", *place, typed])
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code
    assert "Traceback" not in capsys.readouterr().err + str(ended.value.code)
    assert [path.name for path in tmp_path.rglob("*")] == ["kept"]


def test_a_directory_that_holds_a_run_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    program.leave_nothing(tmp_path)
    assert (tmp_path / "config.yaml").exists()


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
