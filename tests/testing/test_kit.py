"""The kit around its checks: what is checked, as pytest's parameters, by pytest alone, and without pytest."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal
from unittest import SkipTest

import broken_strategies as broken
import pytest
import torch
from fake_packages import install, on_path
from torch import nn

from hybridopt import DataSpec
from hybridopt.composition import registry
from hybridopt.composition.kinds import GROUPS
from hybridopt.core.encoding import Direct
from hybridopt.errors import PluginError
from hybridopt.testing import CheckFailure, Outcome, as_plugin, checks, installed, parametrize_with_checks, run_checks
from hybridopt.testing.plugins import KINDS, conformance, defaults, variants

MODEL = """
import torch
from torch import nn
from hybridopt import DataSpec

def {name}(spec: DataSpec, {settings}) -> nn.Module:
    '''{summary}'''
    return nn.Sequential(nn.Flatten(), nn.Linear(torch.Size(spec.input_shape).numel(), spec.output_size))
"""


def model_source(name: str = "plain", settings: str = "size: int = 3", summary: str = "One layer.") -> str:
    return MODEL.format(name=name, settings=settings, summary=summary)


# -- what is checked --------------------------------------------------------------------------------------------------


def test_everything_installed_is_met_whatever_its_kind():
    found = {(plugin.kind, plugin.name) for plugin in installed()}
    assert found == {(kind, name) for kind in KINDS for name in registry.plugins(kind)}
    assert set(GROUPS) - set(KINDS) == {"callback"}


def test_a_new_entry_point_is_met_by_itself_and_not_imported(tmp_path):
    module = install(tmp_path, "acme-models", model_source() + "raise RuntimeError", model={"plain": "plain"})
    with on_path(tmp_path):
        assert "plain" in [plugin.name for plugin in installed("model")]
        assert [plugin.name for plugin in installed(package="Acme_Models")] == ["plain"]
        assert module not in sys.modules


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"package": "hybridopd"}, r"No plugin of a package 'hybridopd' is installed.*Did you mean 'hybridopt'"),
        ({"kind": "strategie"}, r"no kind of plugin called 'strategie'\. Did you mean 'strategy'"),
    ],
)
def test_tests_over_nothing_are_refused(asked, says):
    with pytest.raises(PluginError, match=says):
        installed(**asked)


def plain_model(spec: DataSpec) -> nn.Module:
    """One layer."""
    return nn.Sequential(nn.Flatten(), nn.Linear(torch.Size(spec.input_shape).numel(), spec.output_size))


def untold(spec):
    """A function that does not say what it makes."""
    return plain_model(spec)


def test_a_class_or_a_function_tells_what_kind_of_plugin_it_is():
    assert [as_plugin(target).kind for target in (broken.Climb, Direct, plain_model)] == [
        "strategy",
        "encoding",
        "model",
    ]
    with pytest.raises(PluginError, match=r"^'?untold'? does not tell what kind of plugin it is"):
        as_plugin(untold)
    assert as_plugin(untold, "model").kind == "model"


def test_a_check_takes_a_plugin_a_class_or_a_function():
    (check,) = [check for check in checks(plain_model) if check.name == "has_weights_to_train"]
    check(plain_model)
    check(as_plugin(untold, "model"))
    check(registry.find("model", "mlp"))


# -- settings that are tried ------------------------------------------------------------------------------------------


def many_options(
    spec: DataSpec,
    kind: Literal["a", "b", "c"] = "a",
    fast: bool = False,
    pair: Literal["x", "y"] = "x",
    size: int = 3,
) -> nn.Module:
    """Options to try."""


many_options.conformance = {"settings": [{"pair": "y", "size": 5}]}


def test_each_choice_each_switch_and_each_example_is_tried():
    assert list(variants(as_plugin(many_options)).values()) == [
        {},
        {"kind": "b"},
        {"kind": "c"},
        {"fast": True},
        {"pair": "y", "size": 5},  # and y not alone
    ]


def test_nested_plugins_are_filled_in():
    assert defaults(registry.find("strategy", "lottery_ticket")) == {
        "search": {"name": "openai_es"},
        "finetune": {"name": "adam"},
        "encoding": {"name": "supermask"},
    }
    phases = defaults(registry.find("strategy", "sequence"))["phases"]
    assert [phase["name"] for phase in phases.values()] == ["hybridopt:openai_es", "hybridopt:adam"]


def test_examples_that_need_files_get_a_folder_of_their_own(tmp_path):
    source = (
        model_source(settings="path: str")
        + """
def examples(folder):
    (folder / "a.txt").write_text("a")
    return [{"path": str(folder / "a.txt")}]

plain.conformance = {"settings": examples}
"""
    )
    install(tmp_path, "acme", source, model={"plain": "plain"})
    with on_path(tmp_path):
        plugin = registry.find("model", "plain")
        first, second = (conformance(plugin).settings[0]["path"] for _ in range(2))
        assert Path(first).read_text() == "a"
        assert first == second
        assert [outcome for outcome in run_checks(plugin) if outcome.status != "passed"] == []


# -- without pytest ---------------------------------------------------------------------------------------------------


def frozen(spec: DataSpec) -> nn.Module:
    """A model that nobody can train."""
    return plain_model(spec).requires_grad_(False)


REASON = "weights are for others"


def test_an_expected_failure_is_told_with_its_reason():
    outcomes = {outcome.check: outcome for outcome in run_checks(frozen, {"has_weights_to_train": REASON})}
    assert outcomes["has_weights_to_train"] == Outcome("has_weights_to_train", "expected", REASON)
    assert {outcome.status for name, outcome in outcomes.items() if name != "has_weights_to_train"} == {"passed"}


def test_expected_failures_may_depend_on_the_plugin():
    def expected(plugin: Any) -> dict[str, str]:
        return {"has_weights_to_train": REASON} if plugin.name == "frozen" else {}

    assert "failed" not in {outcome.status for outcome in run_checks(frozen, expected)}
    assert "expected" not in {outcome.status for outcome in run_checks(plain_model, expected)}


def test_an_expected_failure_that_does_not_come_is_a_failure():
    outcomes = {outcome.check: outcome for outcome in run_checks(plain_model, {"has_weights_to_train": REASON})}
    assert outcomes["has_weights_to_train"].status == "failed"
    assert outcomes["has_weights_to_train"].sentence == (
        "model plain_model passes has_weights_to_train, though it is declared to fail (weights are for others): take "
        "it out of expected_failures."
    )


def test_an_expected_failure_of_no_check_is_refused():
    with pytest.raises(PluginError, match=r"no such check\. Did you mean 'has_weights_to_train'"):
        run_checks(plain_model, {"has_weight_to_train": REASON})


@pytest.mark.parametrize("fault", ["raise RuntimeError('boom')", "import no_such_package", "def plain(:", "exit(3)"])
def test_a_plugin_that_cannot_be_imported_fails_one_check(fault, tmp_path):
    install(tmp_path, "broken-package", f"{fault}\n", model={"plain": "plain"})
    with on_path(tmp_path):
        (outcome,) = run_checks(registry.find("model", "plain"))
    assert (outcome.check, outcome.status) == ("can_be_imported", "failed")
    assert re.match(r"model plain fails can_be_imported: .*'broken-package' failed to import.*\.$", outcome.sentence)


def test_what_a_plugin_raises_becomes_a_sentence():
    def raising(spec: DataSpec) -> nn.Module:
        """A model that falls over."""
        raise KeyError("first line\nsecond line")

    (check,) = [check for check in checks(as_plugin(raising, "model")) if check.name == "builds_for_several_specs"]
    with pytest.raises(CheckFailure, match=r"^model raising fails builds_for_several_specs: for .* it raises Key"):
        check(as_plugin(raising, "model"))


def test_where_a_first_check_fails_the_others_are_not_run():
    asked = checks(broken.Flat)
    first = next(check for check in asked if check.name == "takes_a_step")
    with pytest.raises(CheckFailure) as told:
        first(broken.Flat)
    assert [outcome.check for outcome in run_checks(broken.Flat) if outcome.status == "failed"] == ["takes_a_step"]
    for check in asked[asked.index(first) + 1 :]:
        with pytest.raises(SkipTest, match=re.escape(str(told.value))):  # which pytest reports as skipped
            check(broken.Flat)


def test_what_a_check_changes_in_the_process_is_put_back():
    before = torch.get_num_threads()
    failed = [outcome.check for outcome in run_checks(broken.Threading) if outcome.status == "failed"]
    assert (failed, torch.get_num_threads()) == (["leaves_the_process_alone"], before)


@pytest.mark.slow
def test_the_runner_needs_no_pytest(tmp_path):
    script = """
import sys
sys.modules["pytest"] = None
from hybridopt.testing import installed, run_checks
if __name__ == "__main__":
    (plugin,) = [plugin for plugin in installed("objective", package="hybridopt") if plugin.name == "mse"]
    print({outcome.status for outcome in run_checks(plugin)})
"""
    assert python(script, tmp_path) == "{'passed'}\n"


def test_pytest_loads_nothing_heavy_with_the_plugin(tmp_path):
    script = """
import sys
import hybridopt.testing.pytest_plugin
print(sorted({"torch", "numpy", "hydra", "omegaconf", "pytorch_lightning", "mlflow"} & set(sys.modules)))
"""
    assert python(script, tmp_path) == "[]\n"


def python(script: str, folder: Path) -> str:
    (folder / "script.py").write_text(script)
    done = subprocess.run([sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# -- as pytest's parameters -------------------------------------------------------------------------------------------


def parameters(*plugins: Any, **kwargs: Any) -> dict[str, Any]:
    """The decorator's parameter sets by id."""

    @parametrize_with_checks(plugins, **kwargs)
    def test(plugin: Any, check: Any) -> None:
        check(plugin)

    (mark,) = test.pytestmark
    assert mark.args[0] == ("plugin", "check")
    return {parameter.id: parameter for parameter in mark.args[1]}


def test_a_test_for_each_check_with_names_to_read():
    found = parameters(registry.find("strategy", "openai_es"), plain_model)
    assert {"openai_es-same_seed_same_numbers", "plain_model-vmaps"} <= found.keys()
    assert len(found) == len(checks(registry.find("strategy", "openai_es"))) + len(checks(plain_model))
    for parameter in found.values():
        assert "hybridopt_check" in {mark.name for mark in parameter.marks}


def test_only_a_declared_deviation_is_a_strict_xfail():
    found = parameters(frozen, expected_failures={"has_weights_to_train": REASON})
    marks = {name: [mark for mark in parameter.marks if mark.name == "xfail"] for name, parameter in found.items()}
    (mark,) = marks.pop("frozen-has_weights_to_train")
    assert mark.kwargs == {"reason": REASON, "strict": True}
    assert not any(marks.values())


def test_plugins_of_one_name_are_told_apart(tmp_path):
    for package in ("acme", "zenith"):
        install(tmp_path, package, model_source(), model={"direct": "plain"})
    with on_path(tmp_path):
        plugins = [plugin for kind in ("model", "encoding") for plugin in registry.plugins(kind)["direct"]]
        names = {name.split("-")[0] for name in parameters(*plugins)}
    assert names == {"acme:model:direct", "zenith:model:direct", "encoding:direct"}


# -- by pytest ---------------------------------------------------------------------------------------------------------

USER_TESTS = """
import pytest
from hybridopt.testing import installed, parametrize_with_checks

@parametrize_with_checks(installed(package="acme"))
def test_conformance(plugin, check):
    check(plugin)
"""
DECLARED = """
def frozen(spec: DataSpec) -> nn.Module:
    '''A model that nobody can train.'''
    return plain(spec).requires_grad_(False)

def blamed(spec: DataSpec) -> nn.Module:
    '''A model that is better than its reputation.'''
    return plain(spec)

def lazy(spec: DataSpec) -> nn.Module:
    return plain(spec)

frozen.conformance = {"expected_failures": {"has_weights_to_train": "weights are for others"}}
blamed.conformance = {"expected_failures": {"vmaps": "it did not once"}}
"""


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    """A folder with an installed package of four models, and a test file."""
    names = {name: name for name in ("plain", "frozen", "blamed", "lazy")}
    install(tmp_path, "acme", model_source() + DECLARED, model=names)
    (tmp_path / "test_acme.py").write_text(USER_TESTS)
    return tmp_path


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "--strict-markers", *arguments]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def assert_reported(done: subprocess.CompletedProcess[str]) -> None:
    """Two failures, an expected failure, and all else passed."""
    assert done.returncode == 1, done.stdout + done.stderr
    count = len(checks(plain_model))
    assert re.search(rf"2 failed, {4 * count - 3} passed, 1 xfailed", done.stdout), done.stdout
    assert re.search(r"^XFAIL .*frozen-has_weights_to_train\]? - weights are for others$", done.stdout, re.MULTILINE)
    assert re.search(r"^FAILED .*blamed-vmaps", done.stdout, re.MULTILINE)
    assert "it did not once" in done.stdout


@pytest.mark.slow
def test_pytest_runs_the_checks_with_a_test_file(acme):
    assert_reported(run_pytest(acme, "test_acme.py"))


@pytest.mark.slow
def test_pytest_runs_the_checks_without_a_test_file_and_shows_the_sentence_alone(acme):
    done = run_pytest(acme, "--hybridopt-check", "acme", "-m", "hybridopt_check")
    assert_reported(done)
    assert re.search(
        r"^_+ lazy-has_a_summary _+\nmodel lazy fails has_a_summary: it has no docstring", done.stdout, re.M
    )


def test_pytest_refuses_a_package_that_is_not_there(acme):
    done = run_pytest(acme, "--hybridopt-check", "acne")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "No plugin of a package 'acne' is installed" in done.stderr
    assert "Did you mean 'acme'?" in done.stderr
