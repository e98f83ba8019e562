"""Nevergrad: what is refused, what is recorded, how it resumes, and that the process ends."""

import gc
import io
import re
import subprocess
import sys
import threading
import weakref

import pytest
import torch
from jobs import LIMIT
from small_problems import begin
from torch import nn

from hybridopt.core.ledger import Budget, Ledger
from hybridopt.core.oracle import Oracle
from hybridopt.errors import ConfigError, ResumeError
from hybridopt.objectives.mse import MeanSquaredError
from hybridopt.strategies.metaheuristics import nevergrad as adapter
from hybridopt.strategies.metaheuristics.nevergrad import Nevergrad


def make_oracle(forwards=1e5, seed=0, width=2, budget=None):
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    return Oracle(nn.Linear(3, width), MeanSquaredError(), Ledger(budget or Budget(forwards=forwards)), generator)


def make_batch(shift=0.0):
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn((8, 3), generator=generator)
    return inputs, inputs @ torch.ones(3, 2) + shift


def make_search(oracle, **settings):
    search = Nevergrad(**{"popsize": 8, "sigma": 0.3, **settings})
    begin(search, oracle, make_batch())
    return search


def saved(search):
    """The state as a checkpoint brings it back: through a file that holds tensors and plain values only."""
    file = io.BytesIO()
    torch.save(search.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("optimizer", ["DiagonalCMA", "CMA", "TwoPointsDE", "RealSpacePSO", "TBPSA", "NGOpt"])
def test_it_minimises(optimizer):
    oracle, batch = make_oracle(), make_batch()
    search = make_search(oracle, optimizer=optimizer)
    first = oracle.losses(oracle.start[None], batch)
    for _ in range(60):
        search.step(oracle, batch)
    assert oracle.losses(search.recommend()[None], batch) < 0.3 * first


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"optimizer": "diagonalcm"}, "no optimizer 'diagonalcm'. Did you mean DiagonalCMA"),
        ({"optimizer": "?"}, "Common ones are DiagonalCMA"),
        ({"optimizer": "Powell", "popsize": 1}, "optimizer=Powell runs foreign code .* strategy.allow_recast=true"),
        (
            {"optimizer": "ChainCMAPowell", "popsize": 1},
            "optimizer=ChainCMAPowell uses Powell, which runs foreign code",
        ),
        ({"optimizer": "Powell", "allow_recast": True}, "looks at one candidate at a time: set strategy.popsize=1"),
        ({"optimizer": "ParaPortfolio", "allow_recast": True}, "looks at one candidate at a time"),
        ({"optimizer": "SPSA"}, "optimizer=SPSA looks at one candidate at a time: set strategy.popsize=1"),
        ({"optimizer": "PSO"}, "weights are not bounded: take strategy.optimizer=RealSpacePSO"),
        ({"optimizer": "AXP"}, "needs a package that is missing: No module named 'ax'"),
        ({"optimizer": "MultiDS"}, "MultiDS cannot work here, it says ZeroDivisionError"),
    ],
)
def test_what_cannot_work_is_refused_before_training(settings, sentence):
    oracle = make_oracle()
    with pytest.raises(ConfigError, match=sentence):
        make_search(oracle, **settings).step(oracle, make_batch())
    assert oracle.ledger.evaluations == 0


@pytest.mark.parametrize("optimizer", ["CMA", "EDA", "MultiCMA"])
def test_full_covariance_is_refused_in_high_dimensions(optimizer):
    oracle = make_oracle(width=600)
    sentence = "more than 2000 dimensions, here 2400: take strategy.optimizer=DiagonalCMA, or encoding=subspace"
    with pytest.raises(ConfigError, match=sentence):
        make_search(oracle, optimizer=optimizer)
    make_search(oracle, optimizer="DiagonalCMA")


@pytest.mark.parametrize("name", ["popsize", "sigma", "moves_per_step"])
def test_bad_values_are_refused(name):
    with pytest.raises(ConfigError, match=f"strategy.{name} must be .* but is 0"):
        Nevergrad(**{name: 0})


# -- what nevergrad is told, and what it says -------------------------------------------------------------------------


def test_the_budget_is_what_is_left_beside_the_incumbent_and_losses_are_noisy():
    oracle = make_oracle(forwards=8 * 900)
    search = make_search(oracle)
    asked = 0
    while not oracle.exhausted:
        search.step(oracle, make_batch())
        asked += len(search._asked)
    assert search._optimizer.budget == 800 == asked
    assert search._optimizer.num_workers == 8
    assert not search._optimizer.parametrization.function.deterministic


@pytest.mark.parametrize("noisy", [None, True, False])
def test_where_the_batch_is_always_the_same_all_is_as_in_nevergrads_own_loop(noisy):
    oracle = make_oracle(forwards=8 * 301)
    oracle.feed.unchanged = True
    search, batch = make_search(oracle, popsize=1, optimizer="NGOpt", noisy=noisy, moves_per_step=10), make_batch()
    asked = 0
    while not oracle.exhausted:
        search.step(oracle, batch)
        asked = search._optimizer.num_ask
    assert search._optimizer.budget == asked == 300
    assert search._optimizer.parametrization.function.deterministic is not bool(noisy)


@pytest.mark.parametrize("optimizer", ["DiagonalCMA", "CMA", "MultiCMA"])
def test_cma_asks_for_the_same_without_checking_bounds_each_time(optimizer, monkeypatch):
    from nevergrad.parametrization import helpers

    checks, check = [], helpers.Normalizer
    monkeypatch.setattr(helpers, "Normalizer", lambda *a: checks.append(a) or check(*a))

    def asked():
        checks.clear()
        oracle = make_oracle()
        search = make_search(oracle, optimizer=optimizer)
        for _ in range(20):
            search.step(oracle, make_batch())
        return torch.stack([torch.as_tensor(one.value) for one in search._asked]), len(checks)

    quick, few = asked()
    monkeypatch.setattr(adapter, "spare_checks_of_bounds", lambda part: None)
    usual, many = asked()
    assert torch.equal(quick, usual)
    assert few < 10 < many


def test_a_budget_of_seconds_is_told_by_its_speed():
    oracle = make_oracle(budget=Budget(seconds=30.0))
    search = make_search(oracle)
    assert search._optimizer.budget != 10_000 * 8 // 9
    assert search._optimizer.budget == pytest.approx(30.0 * oracle.ledger.speed * 8 / 9, rel=0.01)
    assert oracle.ledger.evaluations == 18


def test_the_concrete_optimizer_is_a_fact():
    oracle = make_oracle()
    search = make_search(oracle, optimizer="NGOpt")
    search.step(oracle, make_batch())
    assert re.fullmatch(r"(?!NGOpt$).+", search.facts()["nevergrad"])


def test_the_archive_is_bounded_in_bytes(monkeypatch):
    monkeypatch.setattr(adapter, "ARCHIVE", 16 * 8 * 20)  # twenty candidates of eight dimensions
    oracle = make_oracle()
    search = make_search(oracle, optimizer="NGOpt")
    for _ in range(20):
        search.step(oracle, make_batch())
    assert all(len(part.archive) <= 20 for part in adapter.parts(search._optimizer))


def test_before_the_first_tell_the_start_vector_is_recommended():
    oracle = make_oracle()
    search = make_search(oracle)
    assert torch.equal(search.recommend(), oracle.start)
    search.ask()
    assert torch.equal(search.recommend(), oracle.start)


def test_the_incumbent_meets_each_new_batch_and_gives_way_there():
    oracle = make_oracle()
    search = make_search(oracle, popsize=2)
    population = search.ask()
    search.tell(population, torch.tensor([5.0, 0.1, 9.0]))  # an easy batch
    assert torch.equal(search.recommend(), population[1])
    population = search.ask()
    assert torch.equal(population[0], search.recommend())
    search.tell(population, torch.tensor([8.0, 9.0, 7.0]))  # a hard one
    assert torch.equal(search.recommend(), population[2])


def test_on_one_batch_the_incumbent_is_evaluated_once():
    oracle = make_oracle()
    search = make_search(oracle, optimizer="OnePlusOne", popsize=1, moves_per_step=10)
    search.step(oracle, make_batch())
    search.step(oracle, make_batch())
    assert oracle.ledger.evaluations == 2 * 11


def test_failures_are_told_as_large_finite_losses():
    search = make_search(make_oracle())
    for _ in range(3):
        population = search.ask()
        search.tell(population, torch.full((len(population),), torch.inf))
    assert torch.isfinite(search.recommend()).all()


# -- resume -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["DiagonalCMA", "TwoPointsDE", "NGOpt"])
@pytest.mark.parametrize("steps", [0, 1, 7])
def test_replaying_the_history_equals_never_having_stopped(optimizer, steps):
    oracle = make_oracle()
    search = make_search(oracle, optimizer=optimizer)
    for i in range(steps):
        search.step(oracle, make_batch(i))
    state, noise, evaluations = saved(search), oracle.generator.get_state(), oracle.ledger.evaluations
    whole = [search.step(oracle, make_batch(i))["loss"] for i in range(5)]

    again = make_search(make_oracle(), optimizer=optimizer)
    again.load_state_dict(state)
    oracle.generator.set_state(noise)
    again.generator = oracle.generator
    before = oracle.ledger.evaluations
    resumed = [again.step(oracle, make_batch(i))["loss"] for i in range(5)]
    assert resumed == whole
    assert torch.equal(again.recommend(), search.recommend())
    assert oracle.ledger.evaluations - before == before - evaluations  # the replay costs no evaluation


def test_an_optimizer_that_does_not_repeat_itself_cannot_be_resumed():
    oracle = make_oracle()
    search = make_search(oracle)
    search.step(oracle, make_batch())
    state = saved(search)
    state["_extra_state"]["seed"] += 1
    again = make_search(oracle)
    again.load_state_dict(state)
    with pytest.raises(ResumeError, match="DiagonalCMA does not repeat itself from its seed"):
        again.step(oracle, make_batch())


# -- threads and memory -----------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::nevergrad.common.errors.FinishedUnderlyingOptimizerWarning")
def test_recast_optimizers_run_where_asked_for_and_leave_no_thread_behind():
    before, oracle = set(threading.enumerate()), make_oracle()
    search = make_search(oracle, optimizer="NelderMead", popsize=1, moves_per_step=30, allow_recast=True)
    first = oracle.losses(oracle.start[None], make_batch())
    search.step(oracle, make_batch())
    assert oracle.losses(search.recommend()[None], make_batch()) < first
    optimizer = weakref.ref(search._optimizer)
    threads = set(threading.enumerate()) - before
    assert all(thread.daemon for thread in threads)
    del search
    gc.collect()
    for thread in threads:
        thread.join(timeout=LIMIT)
    assert optimizer() is None
    assert not any(thread.is_alive() for thread in threads)


PROGRAM = """
import torch
from hybridopt.core.ledger import Budget, Ledger
from hybridopt.core.oracle import Oracle
from hybridopt.objectives.mse import MeanSquaredError
from hybridopt.strategies.metaheuristics.nevergrad import Nevergrad
from hybridopt.testing.by_hand import begin

ledger, generator = Ledger(Budget(forwards=1e5)), torch.Generator().manual_seed(0)
oracle = Oracle(torch.nn.Linear(3, 2), MeanSquaredError(), ledger, generator)
search = Nevergrad(optimizer="NelderMead", popsize=1, moves_per_step=5, allow_recast=True)
batch = torch.randn(8, 3), torch.randn(8, 2)
begin(search, oracle, batch)
search.step(oracle, batch)
print("done")
"""


def test_the_process_ends_while_a_recast_optimizer_is_alive():
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=LIMIT, check=False)
    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr
