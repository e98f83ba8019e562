"""Derivatives of a network's outputs and of a loss by its parameters, vectorised over rows where vmap can go."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import jacrev, jvp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_map

from hybridopt.engine import trees
from hybridopt.engine.memory import MEMORY, out_of_memory
from hybridopt.engine.stage import call_with
from hybridopt.engine.trees import Inputs
from hybridopt.errors import brief

log = logging.getLogger(__name__)

TYPICAL_OUTPUTS = 16  # by which the memory of a Jacobian is guessed

Named = Mapping[str, Tensor]


def directional(
    loss: Callable[[Named], Tensor], parameters: Named, tangents: Named, size: int, each: EachRow
) -> tuple[Tensor, Tensor]:
    """A loss and its derivatives along k directions, by forward mode.

    Args:
        loss: of named parameters, a scalar.
        parameters: where the derivatives are taken.
        tangents: name -> (k, \\*shape).
        size: directions at a time.
        each: runs them.

    Returns:
        Losses (k,), all equal, and slopes (k,).
    """

    def along(tangent: Named) -> tuple[Tensor, Tensor]:
        return cast(tuple[Tensor, Tensor], jvp(loss, (dict(parameters),), (tangent,)))

    return each(along, tangents, size)


def jacobians(module: nn.Module, parameters: Named, inputs: Inputs, each: EachRow) -> dict[str, Tensor]:
    """The derivative of each output by each parameter.

    Args:
        module: the network.
        parameters: where the derivatives are taken.
        inputs: (B, ...), or a tree of such tensors.
        each: runs the samples.

    Returns:
        name -> (B, C, \\*shape).
    """

    def output(values: Named, sample: Inputs) -> Tensor:
        return call_with(module, values, trees.mapped(lambda value: value[None], sample))[0]

    row = 4 * TYPICAL_OUTPUTS * sum(value.numel() for value in parameters.values())  # bytes
    return each(lambda sample: jacrev(output)(dict(parameters), sample), inputs, max(1, MEMORY // row))


class EachRow:
    """Runs a function of a row for each row: vectorised or one by one, by the usual kernels or by plain ones.

    Fused kernels (of attention, of recurrent layers) have no forward mode, and vmap no rule for some operations. The
    first way that works is kept for the next call.

    Args:
        vectorised: whether vmap may be tried.
    """

    def __init__(self, vectorised: bool):
        runs = [_vectorised, _one_by_one] if vectorised else [_one_by_one]
        self._ways: list[tuple[Run, Kernels]] = [(run, use) for run in runs for use in (nullcontext, plain_kernels)]

    def __call__(self, function: Callable[[Any], Any], rows: Any, size: int) -> Any:
        """The function's values, stacked.

        Args:
            function: of one row.
            rows: a tensor, or a tree of tensors, of which each has the rows as its first dimension.
            size: rows at a time, where they are vectorised.
        """
        while True:
            run, kernels = self._ways[0]
            try:
                with kernels():
                    return run(function, rows, size)
            except (RuntimeError, UserWarning) as error:  # no derivative, no batching rule, or control flow by data
                if len(self._ways) == 1 or out_of_memory(error):
                    raise
                log.info("A derivative cannot be computed in the fastest way (%s): another one is tried.", brief(error))
                del self._ways[0]


Run = Callable[[Callable[[Any], Any], Any, int], Any]
Kernels = Callable[[], AbstractContextManager[Any]]


def _vectorised(function: Callable[[Any], Any], rows: Any, size: int) -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "There is a performance drop")  # plain kernels have the rules that lack here
        return vmap(function, chunk_size=size)(rows)


def _one_by_one(function: Callable[[Any], Any], rows: Any, size: int) -> Any:
    answers = [function(trees.rows(rows, i)) for i in range(trees.samples(rows))]
    return tree_map(lambda *values: torch.stack(values), *answers)


@contextmanager
def plain_kernels() -> Iterator[None]:
    """Inside, layers are made of operations that each have their derivatives: no fused ones."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*TF32.*")  # torch's own call of what it deprecates
            mkldnn = torch.backends.mkldnn.flags(enabled=False)
            with mkldnn, torch.backends.cudnn.flags(enabled=False), sdpa_kernel(SDPBackend.MATH):
                yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
