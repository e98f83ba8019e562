"""Populations that are shared out over processes: real ones, that talk over gloo."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from directories import assert_same, wait_for
from jobs import LIMIT, SMALL
from sharded import CASES, DRIFTING, OUTPUTS, RESUMED, SHUFFLED, SLOPES, TIMED, outcome, outputs, slopes, trained

from hybridopt.engine.sharding import ProcessGroup
from hybridopt.errors import ConfigError
from hybridopt.execution import experiment
from hybridopt.execution.checkpoint import FILE

Program = Callable[..., subprocess.CompletedProcess[str]]
Composed = Callable[..., dict[str, Any]]
Seen = dict[str, Any]
JOB = (*SMALL, "budget.forwards=2e4", "trainer.enable_progress_bar=false")
SHARED = ("trainer.accelerator=cpu", "trainer.devices=2", "trainer.strategy=ddp")
RANKS = 3
THREADS_AT_THE_END = """
import atexit, pathlib
own = pathlib.Path("/proc/self/task")
def tell():
    names = [path.read_text() for path in own.glob("*/comm")]
    pathlib.Path(__file__).with_name(f"{own.resolve().parent.name}.threads").write_text("".join(names))
atexit.register(tell)  # the first that is registered is the last that is called
"""
GAUSSIAN = [name for name in CASES if name.startswith("gaussian")]


def every_rank(ranks: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[ProcessGroup]:
    """As the ranks see themselves; they cannot talk."""
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: ranks)
    for rank in range(ranks):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        yield ProcessGroup(torch.device("cpu"))


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
@pytest.mark.parametrize("members", [1, 2, 3, 7, 8, 100])
def test_every_member_counts_for_one_rank(members: int, ranks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = []
    for sharding in every_rank(ranks, monkeypatch):
        part = range(members)[sharding.part(members)]
        assert 1 <= len(part) <= -(-members // ranks)
        counted += part if sharding._counts else []
    assert counted == list(range(members))


def test_ranks_draw_apart_and_come_back_into_step(monkeypatch: pytest.MonkeyPatch) -> None:
    inside, after = [], []
    for sharding in every_rank(3, monkeypatch):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            for _ in range(2):
                with sharding.per_rank_rng():
                    inside.append(torch.rand(sharding.rank + 1)[0].item())  # they may draw more or less
            after.append(torch.rand(()).item())
    assert len(set(inside)) == 6
    assert len(set(after)) == 1


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> list[Seen]:
    """What each rank saw when three ran all cases, of which most do not divide by three; two are had below."""
    directory = tmp_path_factory.mktemp("ranks")
    command = [sys.executable, str(Path(__file__).with_name("sharded.py")), str(directory), str(RANKS)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr
    return [torch.load(directory / f"rank_{rank}.pt", weights_only=True) for rank in range(RANKS)]


@pytest.fixture
def alone(tmp_path: Path) -> Callable[[str], Seen]:
    """A case, run by this process."""
    return lambda name: outcome(trained(CASES[name](), tmp_path))


def assert_equal(one: Any, other: Any, where: str = "") -> None:
    """Nested values are the same, bit for bit."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_equal(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for index, pair in enumerate(zip(one, other, strict=True)):
            assert_equal(*pair, f"{where}/{index}")
    else:
        assert one == other, where


def without_time(ledger: dict[str, Any]) -> dict[str, Any]:
    phases = {name: without_time(phase) for name, phase in ledger["phases"].items()}
    return {name: value for name, value in ledger.items() if name != "seconds"} | {"phases": phases}


@pytest.mark.slow
@pytest.mark.parametrize("case", [*CASES, RESUMED])
def test_ranks_agree(case: str, seen: list[Seen]) -> None:
    first, *others = (rank[case] | {"ledger": without_time(rank[case]["ledger"])} for rank in seen)
    for other in others:
        assert_equal(first, other)


@pytest.mark.slow
def test_a_budget_of_seconds_goes_by_one_clock(seen: list[Seen]) -> None:
    first, *others = (rank[TIMED] for rank in seen)
    assert first["ledger"]["seconds"] >= 0.3
    for other in others:
        assert_equal(first, other)


@pytest.mark.slow
@pytest.mark.parametrize("case", GAUSSIAN)
def test_members_and_losses_are_those_of_one_process(case: str, seen: list[Seen], alone: Callable[[str], Seen]) -> None:
    expected, found = alone(case), seen[-1][case]
    assert_equal(expected["members"], found["members"])
    for one, other in zip(expected["losses"], found["losses"], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_run_is_that_of_one_process(case: str, seen: list[Seen], alone: Callable[[str], Seen]) -> None:
    expected, found = alone(case), seen[-1][case]
    assert without_time(expected["ledger"]) == without_time(found["ledger"])
    assert_equal(expected["generator"], found["generator"])
    assert [step for step, _ in expected["curve"]] == [step for step, _ in found["curve"]]
    assert expected["tested"] == pytest.approx(found["tested"], rel=1e-4)
    for name, value in expected["state"].items():
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(value, found["state"][name], rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.slow
def test_a_ticket_keeps_its_zeros(seen: list[Seen]) -> None:
    state = seen[-1]["lottery_ticket"]["state"]
    names = [name for name in state if name.startswith("model.")]
    weights = torch.cat([state[name].flatten() for name in names])
    assert 0.3 < (weights == 0).float().mean() < 0.7
    assert torch.equal(weights != 0, state["strategy.mask"])


@pytest.mark.slow
def test_a_resumed_run_equals_an_uninterrupted_one(seen: list[Seen]) -> None:
    for rank in seen:
        whole, resumed = rank["lottery_ticket"], rank[RESUMED]
        assert_equal(*(run | {"ledger": without_time(run["ledger"])} for run in (whole, resumed)))


@pytest.mark.slow
def test_outputs_are_gathered_in_order(seen: list[Seen], tmp_path: Path) -> None:
    expected = outputs(trained(CASES["openai_es"](), tmp_path))
    for rank in seen:
        torch.testing.assert_close(rank[OUTPUTS], expected)


@pytest.mark.slow
def test_gradients_are_gathered_in_order(seen: list[Seen], tmp_path: Path) -> None:
    expected = slopes(trained(CASES["openai_es"](), tmp_path))
    for rank in seen:
        torch.testing.assert_close(rank[SLOPES], expected)


@pytest.mark.slow
@pytest.mark.parametrize(("case", "said"), [(SHUFFLED, "different batches"), (DRIFTING, "different weights")])
def test_ranks_that_disagree_say_so(case: str, said: str, seen: list[Seen]) -> None:
    for rank in seen:
        assert said in rank[case]


@pytest.mark.parametrize(
    ("setting", "said"), [("ddp_spawn", "set trainer.strategy=ddp"), ("teleport", "refuses the settings under trainer")]
)
def test_unfit_strategies_are_refused(setting: str, said: str, composed: Composed, tmp_path: Path) -> None:
    config = composed(*JOB, "strategy=openai_es", *SHARED[:2], f"trainer.strategy={setting}")
    with pytest.raises(ConfigError, match=said):
        experiment.run(config, tmp_path)
    assert not list(tmp_path.iterdir())


def journals(directory: Path) -> list[Path]:
    return sorted(path.parent.relative_to(directory) for path in directory.rglob("journal.jsonl"))


@pytest.mark.slow
def test_the_command_line_leaves_one_run(
    hybridopt: Program, composed: Composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(THREADS_AT_THE_END)
    monkeypatch.setenv("PYTHONPATH", str(site))
    done = hybridopt(*JOB, "strategy=openai_es", *SHARED)
    assert done.stdout.count("total") == 1
    assert done.stderr == ""
    ends = [path.read_text() for path in site.glob("*.threads")]
    assert [text for text in ends if "gloo" in text] == [], "a thread of the group aborts a process that ends"
    assert len(ends) >= 2 or sys.platform != "linux"
    [run] = journals(tmp_path)
    assert [run] == [path.relative_to(tmp_path) for path in tmp_path.glob("outputs/*/*")]
    experiment.run(composed(*JOB, "strategy=openai_es"), tmp_path / "alone")
    assert_same(tmp_path / run, tmp_path / "alone")


@pytest.mark.slow
def test_a_sweep_starts_ranks_for_each_job(hybridopt: Program, tmp_path: Path) -> None:
    places = ("hydra.sweep.dir=sweep", "hydra.sweep.subdir=${strategy.popsize}")
    sweep = ("-m", *JOB, *SHARED, "strategy=openai_es", *places)
    done = hybridopt(*sweep, "strategy.popsize=100000,6", check=False)
    assert "popsize=100000 of OpenAIES is larger than budget.forwards" in done.stdout, (
        "the first job fails, on all ranks"
    )
    assert "2 jobs: 1 failed, 1 ran" in done.stdout, "and the other one runs"
    assert journals(tmp_path) == [Path("sweep"), Path("sweep/6")]
    assert [path.name for path in tmp_path.iterdir()] == ["sweep"]


@pytest.mark.slow
def test_a_signal_to_the_first_rank_stops_all(hybridopt: Program, composed: Composed, tmp_path: Path) -> None:
    job = [*JOB, "strategy=openai_es", "budget.forwards=1.5e5"]
    command = [sys.executable, "-m", "hybridopt", *job, *SHARED, "hydra.run.dir=stopped"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    wait_for(tmp_path / "stopped" / FILE, process)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=LIMIT)[1]
    assert process.returncode == 128 + signal.SIGTERM
    assert said.count("Stopped by SIGTERM") == 1
    hybridopt("resume=stopped")
    experiment.run(composed(*job), tmp_path / "whole")
    assert_same(tmp_path / "stopped", tmp_path / "whole")
