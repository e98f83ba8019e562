"""Parameters keep their own type and memory order, whatever vectors they are written from."""

from __future__ import annotations

import pytest
import torch
from small_problems import make_strategy, oracle_for, run_steps
from torch import Tensor, nn
from torch.func import functional_call

from hybridopt.core.objective import Batch


class Mixed(nn.Module):
    """A layer in float64 and one in bfloat16 around a norm in float32."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(3, 6).double(), nn.LayerNorm(6), nn.Linear(6, 1).bfloat16()

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.norm(torch.relu(self.first(inputs.double())).float())
        return self.last(hidden.bfloat16()).float()


def by_channels() -> nn.Module:
    """A convolution in channels_last."""
    layers = nn.Unflatten(1, (3, 2, 2)), nn.Conv2d(3, 4, 2), nn.Flatten(), nn.ReLU(), nn.Linear(4, 1)
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def problem(kind: str) -> tuple[nn.Module, Batch]:
    torch.manual_seed(0)
    model, inputs = (Mixed(), torch.randn(40, 3)) if kind == "mixed" else (by_channels(), torch.randn(40, 12))
    return model, (inputs, inputs[:, :1] - inputs[:, 1:2])


def kept(model: nn.Module) -> list[tuple[torch.dtype, tuple[int, ...]]]:
    return [(value.dtype, value.stride()) for value in model.parameters()]


@pytest.mark.parametrize("kind", ["mixed", "channels_last"])
@pytest.mark.parametrize(
    "strategy", ["mezo", "openai_es", "eggroll", "snes", "adam", "lbfgs", "forward_gradient", "memetic"]
)
def test_any_strategy_trains_them_and_leaves_them_as_they_are(strategy: str, kind: str) -> None:
    model, batch = problem(kind)
    before = kept(model)
    start = (model(batch[0]) - batch[1]).square().mean().item()
    settings = {"memetic": {"steps": 1}, "openai_es": {"popsize": 20}}.get(strategy, {})
    run_steps(make_strategy(strategy, **settings), oracle_for(model), batch, 20)
    assert kept(model) == before
    assert (model(batch[0]) - batch[1]).square().mean().item() < start


@pytest.mark.parametrize("kind", ["mixed", "channels_last"])
@pytest.mark.parametrize("mode", ["vmap", "loop"])
def test_members_are_networks_of_those_types(kind: str, mode: str) -> None:
    model, batch = problem(kind)
    oracle = oracle_for(model)
    oracle._evaluate.forward.mode = mode
    population = oracle.start + 0.1 * torch.randn(8, oracle.dimension)
    expected = []
    for member in population:
        named = {name: value[0] for name, value in oracle.encoding.decode(member[None]).items()}
        assert [value.dtype for value in named.values()] == [value.dtype for value in model.parameters()]
        expected.append((functional_call(model, named, (batch[0],)) - batch[1]).square().mean())
    assert torch.allclose(oracle.losses(population, batch).float(), torch.stack(expected).float(), rtol=2e-2)
