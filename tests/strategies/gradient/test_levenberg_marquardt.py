"""Levenberg-Marquardt on minibatches: a step that suits one batch alone is taken back, and damping has a floor."""

from __future__ import annotations

import pytest
import torch
from small_problems import begin, deploy, linear_problem, make_strategy, oracle_for
from torch import nn

from hybridopt.core.objective import Batch
from hybridopt.errors import ConfigError
from hybridopt.objectives.cross_entropy import CrossEntropy

USUAL = (torch.ones(1, 1), torch.ones(1, 1))  # solved by a weight of 1
FAR = (torch.full((1, 1), 1e-3), torch.ones(1, 1))  # solved by a weight of 1000


def one_weight() -> nn.Linear:
    """y = 0.5 x."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 0.5)
    return model


def losses_of(batches: list[Batch], **settings: float) -> list[float]:
    """The loss of each step of a run of :func:`one_weight`."""
    oracle, strategy = oracle_for(one_weight()), make_strategy("levenberg_marquardt", **settings)
    begin(strategy, oracle, batches[0])
    return [float(strategy.step(oracle, batch)["loss"]) for batch in batches]


def test_a_step_that_leads_far_away_is_taken_back() -> None:
    """The first batch alone leads to a weight of 1000; the next one finds the loss of where the step began."""
    losses = losses_of([FAR, USUAL, USUAL], damping=1e-8, floor=1e-10)
    assert losses[1] == pytest.approx(0.25)
    assert max(losses) < 1.1


def test_the_floor_keeps_the_step_of_a_lucky_batch_short() -> None:
    """Five good steps would bring lambda to 1e-4 or less, and the step of the batch that follows to 20 or more."""
    model = one_weight()
    oracle, strategy = oracle_for(model), make_strategy("levenberg_marquardt", damping=1.0, floor=1e-3)
    begin(strategy, oracle, USUAL)
    dampings = [strategy.step(oracle, batch)["damping"] for batch in [*[USUAL] * 5, FAR]]
    deploy(strategy, oracle)
    assert min(dampings) == pytest.approx(1e-3)
    assert abs(model.weight.item() - 1.0) < 3.0


def test_damping_that_begins_below_the_floor_stays_there() -> None:
    oracle, strategy = oracle_for(one_weight()), make_strategy("levenberg_marquardt", damping=10.0, floor=100.0)
    begin(strategy, oracle, USUAL)
    assert [strategy.step(oracle, USUAL)["damping"] for _ in range(4)] == pytest.approx([10.0] * 4)


def test_on_a_full_batch_nothing_is_asked_twice() -> None:
    """A loss for the outputs, one for the candidate, and a Jacobian of one output, on 60 samples."""
    model, batch, _ = linear_problem()
    oracle, strategy = oracle_for(model), make_strategy("levenberg_marquardt")
    begin(strategy, oracle, batch)
    for step in range(1, 4):
        strategy.step(oracle, batch)
        assert oracle.ledger.forwards == step * 60 * (1 + 3 + 1)


def test_the_judgement_of_a_new_batch_is_charged() -> None:
    model, (x, y), _ = linear_problem()
    oracle, strategy = oracle_for(model), make_strategy("levenberg_marquardt")
    begin(strategy, oracle, (x[:30], y[:30]))
    strategy.step(oracle, (x[:30], y[:30]))
    before = oracle.ledger.forwards
    strategy.step(oracle, (x[30:], y[30:]))
    assert oracle.ledger.forwards - before == 30 * (2 + 3 + 1)


@torch.no_grad()
def loss_at(model: nn.Module, batch: Batch) -> float:
    """The cross-entropy of a network."""
    return float(CrossEntropy().loss(model(batch[0]), batch[1]))


def blobs(n: int, generator: torch.Generator) -> Batch:
    """Three classes that overlap, in four dimensions."""
    targets = torch.arange(n) % 3
    centers = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])
    return centers[targets] + 0.7 * torch.randn(n, 4, generator=generator), targets


@pytest.mark.parametrize("seed", range(4))
def test_minibatches_smaller_than_the_network_do_not_send_it_away(seed: int) -> None:
    """Six samples can be fitted exactly by 35 weights, each time by others; the loss of all stays near the first."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3))
    everything = blobs(300, generator)
    oracle, strategy = oracle_for(model, CrossEntropy()), make_strategy("levenberg_marquardt")
    begin(strategy, oracle, everything)
    first, losses = loss_at(model, everything), []
    for _ in range(40):
        strategy.step(oracle, blobs(6, generator))
        deploy(strategy, oracle)
        losses.append(loss_at(model, everything))
    assert max(losses) < 3 * first


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"damping": 0.0}, "strategy.damping must be .*, but is 0"),
        ({"floor": -1.0}, "strategy.floor must be .*, but is -1"),
        ({"factor": 1.0}, "strategy.factor must be .*, but is 1"),
        ({"attempts": 0}, "strategy.attempts must be .*, but is 0"),
    ],
)
def test_each_number_out_of_range_is_refused_in_its_own_sentence(settings: dict[str, float], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        make_strategy("levenberg_marquardt", **settings)
