"""Inputs that are a tree of tensors: every answer of the oracle is that of one network on one batch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from trees_of_inputs import LengthGRU, MaskedTransformer, sequences, with_mask

from hybridopt import Budget, LowRankPopulation
from hybridopt.core.ledger import Ledger
from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.engine import trees
from hybridopt.engine.parameters import ParameterLayout
from hybridopt.objectives.cross_entropy import CrossEntropy

SAMPLES, MEMBERS = 7, 8


def gru() -> tuple[nn.Module, Batch]:
    torch.manual_seed(0)
    return LengthGRU(), sequences(SAMPLES)


def transformer() -> tuple[nn.Module, Batch]:
    torch.manual_seed(0)
    return MaskedTransformer().eval(), with_mask(sequences(SAMPLES))


Problem = Callable[[], tuple[nn.Module, Batch]]
PROBLEMS = pytest.mark.parametrize("problem", [gru, transformer])


def asked(problem: Problem, **settings: str | int) -> tuple[Oracle, Batch]:
    model, batch = problem()
    ledger, generator = Ledger(Budget(forwards=1e6)), torch.Generator().manual_seed(0)
    return Oracle(model, CrossEntropy(), ledger, generator, **settings), batch


def loss_at(oracle: Oracle, vector: Tensor, batch: Batch) -> Tensor:
    named = ParameterLayout.of(oracle.parameters()).named(vector)
    return F.cross_entropy(functional_call(oracle.model, named, (batch[0],)), batch[1])


@PROBLEMS
@pytest.mark.parametrize("settings", [{"mode": "auto"}, {"mode": "loop"}, {"chunk": 3}], ids=str)
def test_losses_of_a_population(problem: Problem, settings: dict[str, str | int]) -> None:
    oracle, batch = asked(problem, **settings)
    population = oracle.start + 0.3 * torch.randn(MEMBERS, oracle.dimension)
    losses = oracle.losses(population, batch)
    assert torch.allclose(losses, torch.stack([loss_at(oracle, one, batch) for one in population]), atol=1e-5)
    assert (oracle.ledger.forwards, oracle.ledger.evaluations) == (MEMBERS * SAMPLES, MEMBERS)


@PROBLEMS
def test_losses_of_low_rank_members(problem: Problem) -> None:
    oracle, batch = asked(problem)
    shapes = {name: value.shape for name, value in oracle.parameters().items()}
    left = {name: torch.randn(MEMBERS, shape[0], 1) for name, shape in shapes.items() if len(shape) == 2}
    right = {name: torch.randn(MEMBERS, shapes[name][1], 1) for name in left}
    dense = {name: torch.randn(MEMBERS, *shape) for name, shape in shapes.items() if name not in left}
    population = LowRankPopulation(oracle.start, shapes, left, right, dense, 0.3)
    expected = [loss_at(oracle, one, batch) for one in population.materialize()]
    assert torch.allclose(oracle.losses(population, batch), torch.stack(expected), atol=1e-5)


@PROBLEMS
def test_derivatives(problem: Problem) -> None:
    oracle, batch = asked(problem)
    point = oracle.start.requires_grad_()
    (slope,) = torch.autograd.grad(loss_at(oracle, point, batch), point)
    slope = slope.detach()
    assert torch.allclose(oracle.gradients(oracle.start[None], batch)[1][0], slope, atol=1e-5)
    directions = torch.randn(2, oracle.dimension)
    with torch.no_grad():
        loss, along = oracle.jvp(directions, batch)
    assert torch.allclose(along, directions @ slope, atol=1e-4)
    assert torch.allclose(loss, loss_at(oracle, oracle.start, batch), atol=1e-5)
    jacobian = oracle.jacobian(batch)
    outputs = oracle.model(batch[0])
    by_outputs = torch.autograd.grad(F.cross_entropy(outputs, batch[1]), outputs)[0]
    assert torch.allclose(torch.einsum("bc,bcd->d", by_outputs, jacobian), slope, atol=1e-4)


@PROBLEMS
def test_padding_travels_with_the_batch(problem: Problem) -> None:
    oracle, batch = asked(problem)
    named = trees.named(batch[0])
    counts = torch.arange(6) < sequences(SAMPLES)[0]["lengths"][:, None]
    (ids,) = [tensor for tensor in named.values() if tensor.ndim == 2 and tensor.dtype == torch.int64]
    population = oracle.start + 0.3 * torch.randn(MEMBERS, oracle.dimension)
    before = oracle.outputs(population, batch)
    ids.copy_(torch.where(counts, ids, (ids + 1) % 9))
    assert torch.allclose(oracle.outputs(population, batch), before, atol=1e-5)
    ids.copy_(torch.where(counts, (ids + 1) % 9, ids))
    assert not torch.allclose(oracle.outputs(population, batch), before, atol=1e-2)


def test_a_tree_and_its_rows_are_one_thing_in_two_forms() -> None:
    inputs = {"a": torch.arange(12).view(3, 4), "b": (torch.ones(3), torch.zeros(3, 2, 2).bool())}
    rebuilt = trees.unflattened(trees.flat(inputs), inputs)
    assert trees.equal(rebuilt, inputs)
    assert [value.dtype for value in trees.leaves(rebuilt)] == [value.dtype for value in trees.leaves(inputs)]
    assert list(trees.named(inputs)) == ["a", "b.0", "b.1"]
    assert trees.form(inputs) == "a dict of a: a tensor (B, 4) and b: a tuple of a tensor (B) and a tensor (B, 2, 2)"
