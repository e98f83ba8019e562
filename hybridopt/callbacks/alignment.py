"""How well a strategy's steps agree with the gradient (Zhang, Clune & Stanley 2017), https://arxiv.org/abs/1712.06564."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning import Callback, Trainer
from torch import Tensor

from hybridopt.core.objective import Batch
from hybridopt.engine.modes import evaluating
from hybridopt.engine.parameters import ParameterLayout
from hybridopt.errors import ConfigError
from hybridopt.execution.trial import Trial


class Alignment(Callback):
    """Logs the cosine of a step of the recommended parameters and the descent direction, as ``train/alignment``.

    The gradient is that of the batch the step was made on, at the parameters before it. It is a measurement, and not
    charged. By random directions alone a cosine of sqrt(2 / (pi d)) is reached, by n pairs sqrt(n / (n + d)).

    Args:
        every: steps from one measurement to the next.

    Raises:
        ConfigError: the number is not positive, or the objective has no gradient.
    """

    def __init__(self, every: int = 10):
        super().__init__()
        if every < 1:
            raise ConfigError(f"trainer.callbacks.alignment.every must be at least 1, but is {every}.")
        self.every = every
        self._before: Tensor | None = None
        self._descent: Tensor | None = None

    def on_fit_start(self, trainer: Trainer, trial: Trial) -> None:
        if not trial.objective.differentiable:
            raise ConfigError(
                f"The callback alignment compares steps with the gradient, and {type(trial.objective).__name__} has "
                "none: choose another objective, such as objective=cross_entropy."
            )

    def on_train_batch_start(self, trainer: Trainer, trial: Trial, batch: Batch, batch_idx: int) -> None:
        if batch_idx % self.every == 0:
            with trial.recommending():
                self._before, self._descent = parameters_of(trial), -gradient_of(trial, batch)

    def on_train_batch_end(self, trainer: Trainer, trial: Trial, outputs: Any, batch: Batch, batch_idx: int) -> None:
        if self._before is None or self._descent is None:
            return
        with trial.recommending():
            step = parameters_of(trial) - self._before
        cosine = torch.nn.functional.cosine_similarity(step, self._descent, dim=0)
        self._before = None
        for logger in trainer.loggers:
            logger.log_metrics({"train/alignment": float(cosine)}, step=trial.ledger.forwards)


def parameters_of(trial: Trial) -> Tensor:
    """The model's parameters, in one vector (d,)."""
    own = trial.oracle.parameters()
    return ParameterLayout.of(own).flatten(own)


def gradient_of(trial: Trial, batch: Batch) -> Tensor:
    """The loss's gradient at the model's parameters in evaluation mode, (d,); nothing is charged or left behind."""
    own = trial.oracle.parameters()
    with evaluating(trial.model), torch.enable_grad():
        loss = trial.objective.loss(trial.model(batch[0]), batch[1])
        parts = torch.autograd.grad(loss, list(own.values()), allow_unused=True, materialize_grads=True)
    return torch.cat([part.flatten() for part in parts])
