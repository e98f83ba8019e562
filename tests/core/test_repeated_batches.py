"""Where each batch is the one before, a loss that is known is not asked for again; hooks count what the network did."""

from __future__ import annotations

import os
import signal

import pytest
import torch
from directories import assert_same
from pytorch_lightning import Callback
from small_problems import begin, make_strategy
from torch import nn
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

from hybridopt.core.ledger import Budget, Ledger
from hybridopt.core.oracle import Oracle
from hybridopt.core.stream import LoaderStream, TensorStream
from hybridopt.errors import Interrupted
from hybridopt.execution import experiment, trainers
from hybridopt.objectives.mse import MeanSquaredError
from hybridopt.strategies.evolution_strategies.openai_es import OpenAIES
from hybridopt.strategies.hybrid.best_so_far import BestSoFar

B, STEPS = 6, 6
AGAIN = {  # losses that each step on a new batch asks for again
    "differential_evolution": 20,
    "particle_swarm": 20,
    "random_search": 0,  # the incumbent takes a newcomer's place
    "nevergrad": 1,
    "simulated_annealing": 1,
}
SETTINGS = {
    "differential_evolution": {"popsize": 20, "final_popsize": 20},
    "particle_swarm": {"popsize": 20},
    "random_search": {"popsize": 20},
    "nevergrad": {"popsize": 20},
    "simulated_annealing": {"moves_per_step": 20},
}


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    inputs = torch.randn(B, 3, generator=torch.Generator().manual_seed(1))
    return inputs, inputs.sum(1, keepdim=True)


class Counted:
    """A strategy at work by hand, and how often a hook saw a sample pass the network."""

    def __init__(self, strategy, unchanged: bool, dropout: bool = False):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Tanh(), nn.Linear(4, 1))
        self.passed = 0
        model.register_forward_hook(self._see)
        generator = torch.Generator().manual_seed(0)
        ledger = Ledger(Budget(forwards=1e9))
        self.oracle = Oracle(model, MeanSquaredError(), ledger, generator, mode="loop", chunk=64, dropout=dropout)
        self.oracle.feed.unchanged = unchanged
        self.strategy = begin(strategy, self.oracle, batch())

    def _see(self, _module, inputs, _outputs) -> None:
        self.passed += len(inputs[0])

    def answers(self, steps: int) -> list[int]:
        """Losses that each step asked for; a Jacobian counts as one."""
        found = []
        for _ in range(steps):
            before = self.oracle.ledger.evaluations
            self.strategy.step(self.oracle, batch())
            found.append(self.oracle.ledger.evaluations - before)
        return found

    def costs(self, steps: int = STEPS) -> list[int]:
        """Losses that each step took, by the hook and by the ledger."""
        found = []
        for _ in range(steps):
            before = self.passed, self.oracle.ledger.forwards
            self.strategy.step(self.oracle, batch())
            seen, charged = self.passed - before[0], self.oracle.ledger.forwards - before[1]
            assert seen == charged
            found.append(seen // B)
        return found


@pytest.mark.parametrize("name", AGAIN)
def test_known_losses_are_asked_for_once(name: str) -> None:
    always = Counted(make_strategy(name, **SETTINGS[name]), unchanged=False).costs()
    once = Counted(make_strategy(name, **SETTINGS[name]), unchanged=True).costs()
    assert once[0] == always[0], "at first nothing is known"
    assert [a - b for a, b in zip(always[1:], once[1:], strict=True)] == [AGAIN[name]] * (STEPS - 1)


def test_the_first_places_of_a_swarm_are_evaluated_once() -> None:
    assert Counted(make_strategy("particle_swarm", popsize=20, moves_per_step=1), unchanged=False).costs(2) == [20, 40]


def test_the_course_is_the_same() -> None:
    always, once = (Counted(make_strategy("particle_swarm", popsize=10), unchanged=same) for same in (False, True))
    assert sum(always.costs()) > sum(once.costs())
    assert torch.equal(always.strategy.recommend(), once.strategy.recommend())


def test_with_dropout_nothing_is_known() -> None:
    costs = Counted(make_strategy("particle_swarm", popsize=20), unchanged=True, dropout=True).costs()
    assert costs[1:] == [20 * 6] * (STEPS - 1)


@pytest.mark.parametrize(("name", "known"), [("particle_swarm", 20), ("best_so_far", 1), ("levenberg_marquardt", 1)])
def test_what_others_compute_in_between_makes_losses_unknown(name: str, known: int) -> None:
    settings = {
        "particle_swarm": {"popsize": 20},
        "best_so_far": {"inner": {"name": "openai_es", "popsize": 4}, "every": 1},
        "levenberg_marquardt": {},
    }[name]
    alone, disturbed = (Counted(make_strategy(name, **settings), unchanged=True) for _ in range(2))
    assert alone.answers(2) == disturbed.answers(2)
    disturbed.oracle.gradient(batch())  # of another phase, that moves the model
    assert disturbed.answers(1) == [alone.answers(1)[0] + known]


def test_an_incumbent_that_is_compared_now_and_then_is_evaluated_again_after_others() -> None:
    counted = Counted(BestSoFar(OpenAIES(popsize=4), every=2), unchanged=True)
    assert counted.costs(4) == [4, 6, 4, 5]
    counted.costs(1)
    counted.oracle.gradient(batch())
    assert counted.costs(3) == [6, 4, 5]


def test_where_statistics_are_learned_an_incumbent_is_evaluated_again() -> None:
    counted = Counted(BestSoFar(OpenAIES(popsize=4), every=1), unchanged=True)
    counted.oracle.model.append(nn.BatchNorm1d(1))
    counted.strategy.attach(counted.oracle)
    assert counted.answers(3) == [6, 6, 6]


def test_a_best_so_far_knows_its_incumbent() -> None:
    always, once = (Counted(BestSoFar(OpenAIES(popsize=4), every=1), unchanged=same).costs() for same in (False, True))
    assert always == [6] * STEPS
    assert once == [6, *[5] * (STEPS - 1)]


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_gradient_that_is_known_is_not_asked_for_again(dropout: float) -> None:
    def run(unchanged: bool) -> tuple[int, torch.Tensor]:
        counted = Counted(make_strategy("lbfgs"), unchanged)
        counted.oracle.model[1].p = dropout
        for _ in range(STEPS):
            counted.strategy.step(counted.oracle, batch())
        return counted.oracle.ledger.evaluations, nn.utils.parameters_to_vector(counted.oracle.model.parameters())

    always, once = run(False), run(True)
    if dropout:
        assert always[0] >= 5 * STEPS, "training mode draws"
    else:
        assert always[0] - once[0] == STEPS - 1
        assert torch.equal(always[1], once[1])


def test_streams_say_whether_their_batches_are_all_the_same() -> None:
    inputs, targets = batch()
    data = TensorDataset(inputs, targets)
    assert TensorStream(inputs, targets, None, 0).unchanged
    assert TensorStream(inputs, targets, B, 0).unchanged
    assert not TensorStream(inputs, targets, B - 1, 0).unchanged
    assert LoaderStream(DataLoader(data, batch_size=B), 0).unchanged
    assert not LoaderStream(DataLoader(data, batch_size=2), 0).unchanged
    assert not LoaderStream(DataLoader(data, batch_size=B, shuffle=True), 0).unchanged
    assert not LoaderStream(DataLoader(data, batch_size=B, sampler=RandomSampler(data)), 0).unchanged
    assert not LoaderStream(DataLoader(data, batch_size=B, collate_fn=lambda rows: rows), 0).unchanged
    assert not LoaderStream([(inputs, targets)], 0).unchanged


class StopAt(Callback):
    """Interrupts a run at a step, as a signal does."""

    def on_train_batch_start(self, trainer, trial, *_) -> None:
        if trial.ledger.progress >= 0.4:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("name", ["differential_evolution", "simulated_annealing", "lbfgs"])
def test_a_run_on_full_batches_resumes_exactly(name: str, composed, tmp_path, monkeypatch) -> None:
    config = composed(
        "dataset=iris", "dataset.batch_size=null", "model.hidden=[4]", f"strategy={name}", "tracking=none",
        "budget.forwards=1e5", "budget.marks=4",
    )  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(trainers, "BudgetBar", lambda: StopAt())
        with pytest.raises(Interrupted):
            experiment.run(config, tmp_path / "parts")
    config["trainer"]["enable_progress_bar"] = False
    experiment.run(config, tmp_path / "whole")
    experiment.run({"resume": "parts"}, tmp_path / "parts")
    assert_same(tmp_path / "whole", tmp_path / "parts")


def converges(counted: Counted) -> bool:
    """Whether a strategy finishes within so many steps."""
    for _ in range(1000):
        counted.strategy.step(counted.oracle, batch())
        if counted.strategy.finished():
            return True
    return False


def test_descent_that_has_converged_has_finished_until_somebody_else_computes() -> None:
    counted = Counted(make_strategy("lbfgs"), unchanged=True)
    counted.oracle.model[1].p = 0.0
    assert converges(counted)
    counted.oracle.losses(counted.oracle.point[None], batch())
    assert not counted.strategy.finished()
    assert converges(counted)


def test_on_new_batches_descent_never_finishes() -> None:
    counted = Counted(make_strategy("lbfgs"), unchanged=False)
    counted.oracle.model[1].p = 0.0
    assert not converges(counted)
