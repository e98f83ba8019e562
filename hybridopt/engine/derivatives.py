"""Derivatives of a network's outputs and of a loss by its parameters, vectorised over rows where vmap can go."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import jacrev, jvp, vmap
from torch.utils._pytree import tree_map

from hybridopt.engine.memory import MEMORY
from hybridopt.engine.stage import call_with
from hybridopt.errors import brief

log = logging.getLogger(__name__)

TYPICAL_OUTPUTS = 16  # by which the memory of a Jacobian is guessed

Named = Mapping[str, Tensor]


def directional(
    loss: Callable[[Named], Tensor], parameters: Named, tangents: Named, size: int, vectorised: bool
) -> tuple[Tensor, Tensor]:
    """A loss and its derivatives along k directions, by forward mode.

    Args:
        loss: of named parameters, a scalar.
        parameters: where the derivatives are taken.
        tangents: name -> (k, \\*shape).
        size: directions at a time.
        vectorised: whether vmap may be tried.

    Returns:
        Losses (k,), all equal, and slopes (k,).
    """

    def along(tangent: Named) -> tuple[Tensor, Tensor]:
        return cast(tuple[Tensor, Tensor], jvp(loss, (dict(parameters),), (tangent,)))

    return each(along, tangents, size, vectorised)


def jacobians(module: nn.Module, parameters: Named, inputs: Tensor, vectorised: bool) -> dict[str, Tensor]:
    """The derivative of each output by each parameter.

    Args:
        module: the network.
        parameters: where the derivatives are taken.
        inputs: (B, ...).
        vectorised: whether vmap may be tried.

    Returns:
        name -> (B, C, \\*shape).
    """

    def output(values: Named, sample: Tensor) -> Tensor:
        return call_with(module, values, sample[None])[0]

    row = 4 * TYPICAL_OUTPUTS * sum(value.numel() for value in parameters.values())  # bytes
    return each(lambda sample: jacrev(output)(dict(parameters), sample), inputs, max(1, MEMORY // row), vectorised)


def each(function: Callable[[Any], Any], rows: Any, size: int, vectorised: bool) -> Any:
    """A function of a row for each row (of a tensor, or of tensors by name), vectorised or one by one."""
    if vectorised:
        try:
            return vmap(function, chunk_size=size)(rows)
        except RuntimeError as error:  # no batching rule, or control flow that depends on data
            log.info("A derivative cannot be vectorised (%s): rows are run one by one.", brief(error))
    count = len(rows) if isinstance(rows, Tensor) else len(next(iter(rows.values())))
    answers = [function(tree_map(lambda value, i=i: value[i], rows)) for i in range(count)]
    return tree_map(lambda *values: torch.stack(values), *answers)
