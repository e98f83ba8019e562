"""Limited-memory BFGS (Liu & Nocedal 1989), https://doi.org/10.1007/BF01589116, by torch.optim.LBFGS.

The line search is that of Nocedal & Wright (2006, algorithm 3.5), for the strong Wolfe conditions. The curvature of one
batch is not that of the next: it is at its best with full batches (dataset.batch_size=null).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Record
from hybridopt.core.unchanged import Unchanged
from hybridopt.toolbox.gradient import GradientStrategy, draws
from hybridopt.toolbox.ranges import at_least, positive


class LBFGS(GradientStrategy):
    """A quasi-Newton method: directions from the last gradients' differences, lengths by a line search.

    Good for small smooth problems with full batches, solved to many digits.

    Every gradient that the line search asks for is charged; once the budget is spent, none is asked for. Where each
    batch is the same one, a step begins with the gradient with which the last one ended; and where that gradient, or
    the step along it, is too small to go on, the strategy has finished.

    Args:
        lr: the first step tried along a direction.
        history: pairs of differences that are remembered.
        iterations: directions on one batch.
        weight_decay: coefficient of the L2 penalty, without which a batch is soon fitted by weights without bound.

    Raises:
        ConfigError: a number is out of range.
    """

    search_space: ClassVar[dict[str, str]] = {"lr": "tag(log, interval(0.01, 1.0))"}
    converged: Tensor  # whether the last step went nowhere, for the loss that it knew
    known: Tensor  # (1 + 2 d,), loss, parameters and gradient where the last step ended; empty where nothing is known

    def __init__(self, lr: float = 1.0, history: int = 10, iterations: int = 4, weight_decay: float = 1e-3):
        super().__init__()
        positive("strategy", lr=lr)
        at_least("strategy", 1, history=history, iterations=iterations)
        at_least("strategy", 0, weight_decay=weight_decay)
        self.lr, self.history, self.iterations, self.weight_decay = lr, history, iterations, weight_decay
        self.unchanged = Unchanged()
        self._oracle: Oracle | None = None

    def attach(self, oracle: Oracle) -> None:
        super().attach(oracle)
        self._oracle = oracle

    def build(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.LBFGS(
            parameters, self.lr, self.iterations, history_size=self.history, line_search_fn="strong_wolfe"
        )

    def begin(self, oracle: Oracle, batch: Batch) -> None:
        super().begin(oracle, batch)
        self.register_buffer("known", self.optimizer.param_groups[0]["params"][0].new_zeros(0))
        self.register_buffer("converged", torch.tensor(False))
        self.unchanged.forget()

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        own = self.optimizer.param_groups[0]["params"]
        losses: list[Tensor] = []
        penalised: list[Tensor] = []
        asked: list[Tensor] = [self.known] if self.unchanged.since(oracle) and len(self.known) else []
        repeats = oracle.repeats and not draws(oracle.model)

        def closure() -> Tensor:
            if not losses and asked and set_gradient(own, asked[0]):
                losses.append(asked[0][0])
                penalised.append(losses[-1] + self._penalty(own))
            elif not (losses and oracle.exhausted):
                losses.append(self.slope(oracle, batch))
                lay_out(own)
                if repeats:
                    asked.append(noted(losses[-1], own))
                penalised.append(losses[-1] + self._penalty(own))
            return penalised[-1]

        spent, before = oracle.ledger.forwards, [value.detach().clone() for value in own]
        oracle.update(self.optimizer, closure)
        if not all(torch.isfinite(value).all() for value in own):  # the step led nowhere
            self._go_back(own, before)
        self.converged = torch.tensor(oracle.ledger.forwards == spent)
        self._keep(own, asked, oracle)
        return {"loss": losses[0]}

    def finished(self) -> bool:
        """Whether it has converged, and nobody has computed anything since, in whose place it might go on."""
        return self._oracle is not None and bool(self.converged) and self.unchanged.since(self._oracle)

    def _keep(self, own: list[nn.Parameter], asked: list[Tensor], oracle: Oracle) -> None:
        """What was asked where the step has ended."""
        here = flat(own)
        size = len(here)
        self.known = next((each for each in asked if torch.equal(each[1 : 1 + size], here)), here[:0])
        self.unchanged.note(oracle)

    @torch.no_grad()
    def _penalty(self, own: list[nn.Parameter]) -> Tensor:
        """weight_decay / 2 times the squared weights; its gradient is added to ``.grad``."""
        for value in own:
            if value.grad is not None:
                value.grad.add_(value, alpha=self.weight_decay)
        return self.weight_decay / 2 * cast(Tensor, sum(value.square().sum() for value in own))

    @torch.no_grad()
    def _go_back(self, own: list[nn.Parameter], before: list[Tensor]) -> None:
        for value, former in zip(own, before, strict=True):
            value.copy_(former)
        self.optimizer.state.clear()


def noted(loss: Tensor, own: list[nn.Parameter]) -> Tensor:
    """Loss, parameters and gradient in one vector, (1 + 2 d,)."""
    slopes = [torch.zeros_like(value) if value.grad is None else value.grad for value in own]
    return torch.cat([loss.detach().reshape(1).to(own[0]), flat(own), flat(slopes)])


def flat(values: Sequence[Tensor]) -> Tensor:
    """Tensors as one vector, in any memory order."""
    return torch.cat([value.detach().reshape(-1) for value in values])


def lay_out(own: list[nn.Parameter]) -> None:
    """Bring gradients into the memory order that torch's L-BFGS asks for; those of channels_last have another."""
    for value in own:
        value.grad = None if value.grad is None else value.grad.contiguous()


def set_gradient(own: list[nn.Parameter], known: Tensor) -> bool:
    """Fill ``.grad`` with what is known at these very parameters; whether it is."""
    size = sum(value.numel() for value in own)
    if not torch.equal(known[1 : 1 + size], flat(own)):
        return False
    for value, slope in zip(own, known[1 + size :].split([value.numel() for value in own]), strict=True):
        value.grad = slope.view_as(value).clone()
    return True
