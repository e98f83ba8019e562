"""The gradient of each member: that of a backward pass of its own, in any coordinates, and metered as it costs."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hybridopt import Budget, Oracle
from hybridopt.core.ledger import Ledger
from hybridopt.core.spec import DataSpec
from hybridopt.encodings.parameter_group import ParameterGroup
from hybridopt.encodings.subspace import Subspace
from hybridopt.encodings.supermask import Supermask
from hybridopt.errors import ConfigError
from hybridopt.models.cnn import cnn
from hybridopt.models.mlp import mlp
from hybridopt.models.rnn import rnn
from hybridopt.objectives.cross_entropy import CrossEntropy
from hybridopt.objectives.mse import MeanSquaredError
from hybridopt.objectives.zero_one import ZeroOne

B, CLASSES = 6, 3
SPEC, IMAGES = DataSpec((8, 8), CLASSES, "classification"), DataSpec((1, 8, 8), CLASSES, "classification")
MODELS = {
    "mlp": (lambda: mlp(SPEC, [7], "tanh"), (8, 8)),
    "gru": (lambda: rnn(SPEC, "gru", 4), (8, 8)),
    "cnn": (lambda: cnn(IMAGES, [2], 5), (1, 8, 8)),
}


class Branching(nn.Module):
    """Which vmap cannot run."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        outputs = self.layer(x.flatten(1))
        return outputs.tanh() if outputs.sum() > 0 else outputs.sin()


def made(name: str = "mlp", objective: nn.Module | None = None, **settings: object) -> tuple[Oracle, tuple]:
    """An oracle, and a batch."""
    build, shape = MODELS[name]
    torch.manual_seed(0)
    model = build()
    batch = torch.randn(B, *shape), torch.randint(CLASSES, (B,))
    ledger = Ledger(Budget(forwards=1e6))
    return Oracle(model, objective or CrossEntropy(), ledger, torch.Generator().manual_seed(0), **settings), batch


def members(oracle: Oracle, count: int) -> Tensor:
    noise = torch.randn(count, oracle.dimension, generator=torch.Generator().manual_seed(1))
    return oracle.start + 0.3 * noise


def by_hand(oracle: Oracle, population: Tensor, batch: tuple) -> tuple[Tensor, Tensor]:
    """Losses (n,) and slopes (n, d) by one backward pass a member, through the encoding."""
    losses, slopes = [], []
    for z in population:
        point = z.clone().requires_grad_()
        named = {name: value[0] for name, value in oracle._coordinates.decode(point[None]).items()}
        loss = oracle.objective.loss(torch.func.functional_call(oracle.model, named, (batch[0],)), batch[1])
        loss.backward()
        losses.append(loss.detach())
        slopes.append(point.grad)
    return torch.stack(losses), torch.stack(slopes)


VIEWS = {
    "direct": lambda oracle: oracle,
    "subspace": lambda oracle: oracle.encoded(Subspace(5)),
    "group": lambda oracle: oracle.encoded(ParameterGroup()),
    "masked": lambda oracle: oracle.masked(some_mask(oracle)),
    "masked subspace": lambda oracle: oracle.masked(some_mask(oracle)).encoded(Subspace(5)),
}


def some_mask(oracle: Oracle) -> dict[str, Tensor]:
    return {name: (torch.arange(value.numel()) % 2 == 0).view_as(value) for name, value in oracle.parameters().items()}


@pytest.mark.parametrize("mode", ["auto", "vmap", "loop"])
@pytest.mark.parametrize("count", [1, 4, 9])
@pytest.mark.parametrize("name", MODELS)
def test_each_member_has_the_gradient_of_a_backward_pass_of_its_own(name: str, count: int, mode: str) -> None:
    oracle, batch = made(name, mode=mode)
    population = members(oracle, count)
    losses, slopes = oracle.gradients(population, batch)
    expected = by_hand(oracle, population, batch)
    torch.testing.assert_close(losses, expected[0])
    torch.testing.assert_close(slopes, expected[1], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(losses, oracle.losses(population, batch))


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("chunk", ["auto", 2])
def test_gradients_are_in_the_view_s_own_coordinates(view: str, chunk: str | int) -> None:
    oracle, batch = made(chunk=chunk)
    seen = VIEWS[view](oracle)
    population = members(seen, 9)
    losses, slopes = seen.gradients(population, batch)
    expected = by_hand(seen, population, batch)
    assert slopes.shape == population.shape
    torch.testing.assert_close(losses, expected[0])
    torch.testing.assert_close(slopes, expected[1], rtol=1e-4, atol=1e-6)


def test_behind_a_mask_what_is_masked_has_no_slope() -> None:
    oracle, batch = made()
    mask = some_mask(oracle)
    view = oracle.masked(mask)
    _, slopes = view.gradients(members(view, 3), batch)
    kept = torch.cat([mask[name].flatten() for name in oracle.parameters()])
    assert (slopes[:, ~kept] == 0).all()
    assert slopes[:, kept].abs().sum() > 0


def test_a_supermask_has_the_straight_through_gradient() -> None:
    """The slope by a score is the weight times that by the effective weight."""
    oracle, batch = made()
    view = oracle.encoded(Supermask(0.5))
    z = view.start
    _, slopes = view.gradients(z[None], batch)
    view.assign(z)
    oracle.gradient(batch)
    own = oracle.parameters()
    effective = torch.cat([own[name].grad.flatten() for name in view.encoding.layout.shapes])
    torch.testing.assert_close(slopes[0], effective * view.encoding.weights, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("mode", ["vmap", "loop"])
@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_a_member_costs_what_went_forwards_and_twice_what_went_backwards(mode: str, chunk: int) -> None:
    oracle, batch = made(mode=mode, chunk=chunk)
    population, forward, backward = members(oracle, 5), [], []

    def look(module: nn.Module, args: tuple, output: Tensor) -> None:
        while torch._C._functorch.is_functorch_wrapped_tensor(output):
            output = torch._C._functorch.get_unwrapped(output)
        forward.append(output.numel() // CLASSES)
        output.register_hook(lambda gradient: backward.append(gradient.numel() // CLASSES))

    with oracle.model.register_forward_hook(look):
        oracle.gradients(population, batch)
    assert sum(forward) == sum(backward) == 5 * B
    assert oracle.ledger.forwards == sum(forward) + 2 * sum(backward)
    assert oracle.ledger.evaluations == 5


def test_what_vmap_cannot_run_is_run_one_by_one() -> None:
    torch.manual_seed(0)
    oracle = Oracle(Branching(), CrossEntropy(), Ledger(Budget(forwards=1e6)), torch.Generator())
    batch = torch.randn(B, 8, 8), torch.randint(CLASSES, (B,))
    population = members(oracle, 8)
    torch.testing.assert_close(oracle.gradients(population, batch)[1], by_hand(oracle, population, batch)[1])


def test_the_model_is_left_as_it_was() -> None:
    oracle, batch = made()
    before = {name: value.clone() for name, value in oracle.model.state_dict().items()}
    oracle.gradients(members(oracle, 7), batch)
    assert all(torch.equal(value, before[name]) for name, value in oracle.model.state_dict().items())
    assert all(value.grad is None for value in oracle.model.parameters())
    assert oracle.model.training


def test_failures_count_as_infinite_losses_and_slopes_of_zero() -> None:
    oracle = Oracle(nn.Linear(2, 1), MeanSquaredError(), Ledger(Budget(forwards=1e6)), torch.Generator())
    population = torch.tensor([[1.0, 1.0, 0.0], [math.nan, 1.0, 0.0], [1e30, 1.0, 0.0]])
    losses, slopes = oracle.gradients(population, (torch.ones(4, 2), torch.zeros(4, 1)))
    assert losses.isfinite().tolist() == [True, False, False]
    assert slopes.isfinite().all()
    assert slopes[1].tolist() == [0.0, 0.0, 0.0]
    assert slopes[0].abs().sum() > 0


def test_without_a_gradient_it_is_refused() -> None:
    oracle, batch = made(objective=ZeroOne())
    with pytest.raises(ConfigError, match="ZeroOne has no gradient"):
        oracle.gradients(members(oracle, 2), batch)


def test_what_costs_more_than_the_budget_is_refused() -> None:
    oracle, batch = made()
    oracle.ledger.budget = Budget(forwards=3 * B * 4)
    oracle.gradients(members(oracle, 4), batch)
    with pytest.raises(ConfigError, match=rf"costs {5 * 3 * B} forwards"):
        oracle.gradients(members(oracle, 5), batch)
    assert oracle.ledger.forwards == 3 * B * 4


def test_readings_are_the_losses_by_each_objective_of_one_pass() -> None:
    oracle, batch = made()
    population, objectives = members(oracle, 7), [CrossEntropy(), ZeroOne()]
    readings = oracle.readings(population, batch, objectives)
    assert oracle.ledger.forwards == 7 * B
    assert oracle.ledger.evaluations == 7
    for column, objective in zip(readings.T, objectives, strict=True):
        torch.testing.assert_close(column, oracle.with_objective(objective).losses(population, batch))
    expected = F.cross_entropy(oracle.model(batch[0]), batch[1]).detach()
    torch.testing.assert_close(oracle.readings(oracle.start[None], batch, objectives)[0, 0], expected)
