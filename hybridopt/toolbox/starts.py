"""Where the members of a population start: one where the network stands, others at first weights of their own."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from hybridopt.core.handover import Handover
from hybridopt.core.oracle import Oracle
from hybridopt.engine.parameters import ParameterLayout
from hybridopt.engine.randomness import PrivateRng, normal
from hybridopt.toolbox import inheritance

UNKNOWN = 0.1  # the standard deviation of starts in an encoding whose own start is the same number everywhere


def population_of_starts(oracle: Oracle, count: int, drawn: bool = True) -> Tensor:
    """A first population (count, d): the oracle's start, then members that are inherited, then others.

    Args:
        oracle: of which ``start`` is the first member, and ``inherited.population`` gives as many as there is room for,
            without those that are the start itself.
        count: members in all.
        drawn: whether the others are drawn again, see :func:`redrawn`; else they are the start as well.
    """
    start, given = oracle.start, oracle.inherited.population
    others = redrawn(oracle, count - 1) if drawn and count > 1 else start.repeat(count - 1, 1)
    made = torch.cat([start[None], others])
    if given is None:
        return made
    return inheritance.members(Handover(population=given[(given != start).any(dim=1)]), made)


def redrawn(oracle: Oracle, count: int) -> Tensor:
    """Starts drawn again (count, d), in the coordinates of the oracle.

    In direct coordinates they are first weights of the network: each of its modules that knows how to draw its own, by
    ``reset_parameters`` as torch's layers do, draws them again; other parameters are normal numbers of the mean and the
    standard deviation that they have now, or of its size where a parameter is a single number. A model that changes its
    layers' weights after they were made is not asked again. In an encoding they are normal numbers around the
    encoding's start, of the standard deviation of its numbers, or of 0.1 where they are all the same.

    Args:
        oracle: whose generator fixes what is drawn; no global one is touched, and the network stays as it is.
        count: how many.
    """
    start = oracle.start
    if not oracle.direct:
        spread = start.std(correction=0)
        spread = torch.where(spread > 0, spread, UNKNOWN)
        return start + spread * normal((count, len(start)), start, oracle.generator)
    own = oracle.parameters()
    layout = ParameterLayout.of(own)
    offset = oracle.point - layout.flatten(own)  # exactly zero, but where the oracle's coordinates are displaced
    return torch.stack([layout.flatten(weights).to(start) for weights in _first_weights(oracle, count)]) + offset


@torch.no_grad()
def _first_weights(oracle: Oracle, count: int) -> Iterator[dict[str, nn.Parameter]]:
    """The parameters of a copy of the network on the CPU, reset so many times."""
    model, fresh = copy.deepcopy(oracle.model).cpu(), copy.deepcopy(oracle.model).cpu()
    device = oracle.generator.device
    seed = int(torch.randint(2**31, (1,), generator=oracle.generator, device=device))
    draws = PrivateRng(seed, torch.device("cpu"))
    for _ in range(count):
        with draws.active():
            for module, former in zip(fresh.modules(), model.modules(), strict=True):
                _reset(module, former)
        yield dict(fresh.named_parameters())


def _reset(module: nn.Module, former: nn.Module) -> None:
    """Draw a module's own parameters again; not those of modules inside."""
    own = dict(module.named_parameters(recurse=False))
    reset = getattr(module, "reset_parameters", None)
    if own and callable(reset):
        reset()
        return
    for name, value in former.named_parameters(recurse=False):
        alone = value.numel() == 1
        mean, spread = (0.0, value.abs()) if alone else (value.mean(), value.std(correction=0))
        own[name].copy_(mean + spread * torch.randn(value.shape).to(value))
