"""Gradient training by any optimiser of torch.optim, with a learning-rate schedule over the budget.

Adam: Kingma & Ba 2015, https://arxiv.org/abs/1412.6980. AdamW: Loshchilov & Hutter 2019,
https://arxiv.org/abs/1711.05101. RMSprop: Hinton 2012, lecture 6e of "Neural Networks for Machine Learning". Stochastic
gradient descent: Robbins & Monro 1951; momentum: Sutskever et al. 2013; cosine annealing: Loshchilov & Hutter 2017,
https://arxiv.org/abs/1608.03983.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import nn

from hybridopt.errors import ConfigError, options
from hybridopt.toolbox.gradient import GradientDescent
from hybridopt.toolbox.moments import MomentDescent
from hybridopt.toolbox.ranges import share
from hybridopt.toolbox.schedule import Schedule


class TorchOptim(GradientDescent):
    """One step of a torch optimiser a batch.

    Args:
        optimizer: the name of a class of torch.optim, such as "Adam".
        lr: its learning rate at the start.
        schedule: how the learning rate goes to ``final_lr`` times itself over the budget.
        final_lr: the last learning rate as a share of the first.
        settings: further arguments of the class.
        max_norm: the length to which a longer gradient is cut.

    Raises:
        ConfigError: there is no such class, it cannot work from one gradient, or it refuses its settings.
    """

    def __init__(
        self,
        optimizer: str,
        lr: float,
        schedule: Schedule = "constant",
        final_lr: float = 0.0,
        settings: dict[str, Any] = {},
        max_norm: float | None = None,
    ):
        super().__init__(lr, schedule, final_lr, max_norm)
        self.optimizer_class = optimizer_class(optimizer)
        self.settings = settings
        self.build([nn.Parameter(torch.zeros(2, 2))])  # a bad setting is refused now, not when training starts

    def build(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return made(self.optimizer_class, parameters, self.lr, self.settings)


class Adam(MomentDescent):
    """One step of Adam, or of AdamW, a batch; its second moments pass from phase to phase of a hybrid.

    Args:
        decoupled: whether weight decay is AdamW's.
        lr, schedule, final_lr, max_norm: of :class:`~hybridopt.toolbox.moments.MomentDescent`.
        settings: further arguments of the class.

    Raises:
        ConfigError: it refuses its settings.
    """

    def __init__(
        self,
        decoupled: bool,
        lr: float | None,
        schedule: Schedule,
        final_lr: float,
        settings: dict[str, Any],
        max_norm: float | None,
    ):
        super().__init__(lr, schedule, final_lr, max_norm)
        self.optimizer_class = torch.optim.AdamW if decoupled else torch.optim.Adam
        self.settings = settings
        self.build([nn.Parameter(torch.zeros(2, 2))])  # a bad setting is refused now, not when training starts

    def build(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return made(self.optimizer_class, parameters, self.lr, self.settings)


def made(
    optimizer: type[torch.optim.Optimizer], parameters: list[nn.Parameter], lr: float, settings: dict[str, Any]
) -> torch.optim.Optimizer:
    """An optimiser of these parameters.

    Raises:
        ConfigError: it refuses its settings.
    """
    make = cast(Callable[..., torch.optim.Optimizer], optimizer)
    try:
        return make(parameters, lr=lr, **one_kernel(optimizer, parameters, settings), **settings)
    except (TypeError, ValueError, IndexError) as error:
        raise ConfigError(f"torch.optim.{optimizer.__name__} refuses its settings: {error}.") from error


def one_kernel(
    optimizer: type[torch.optim.Optimizer], parameters: list[nn.Parameter], settings: dict[str, Any]
) -> dict[str, bool]:
    """One kernel for all parameters, where torch has it: a small network's step takes a third of the time."""
    chosen = settings.keys() & {"fused", "foreach", "capturable", "differentiable"}
    known = "fused" in inspect.signature(optimizer).parameters
    there = all(parameter.device.type in ("cpu", "cuda") for parameter in parameters)
    return {"fused": True} if known and there and not chosen else {}


def optimizer_class(name: str) -> type[torch.optim.Optimizer]:
    """The class of torch.optim of this name, whatever its case."""
    classes = {
        key.lower(): value
        for key, value in vars(torch.optim).items()
        if inspect.isclass(value) and issubclass(value, torch.optim.Optimizer) and value is not torch.optim.Optimizer
    }
    unusable = {"lbfgs": "needs a closure", "sparseadam": "needs sparse gradients"}
    if name.lower() in unusable:
        raise ConfigError(f"torch.optim.{name} {unusable[name.lower()]} and cannot take one gradient a step: try adam.")
    if name.lower() not in classes:
        raise ConfigError(
            f"torch.optim has no optimiser called {name!r}.{options(classes.keys() - unusable.keys(), name.lower())}"
        )
    return classes[name.lower()]


def adam(
    lr: float | None = 3e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-3,
    amsgrad: bool = False,
    schedule: Schedule = "cosine",
    final_lr: float = 0.01,
    max_norm: float | None = None,
) -> Adam:
    """Adam (Kingma & Ba 2015): gradient descent with adaptive moments.

    Good for anything that has a gradient: the strategy to beat. In a hybrid ``lr=null`` takes steps as long as those of
    the phase before.

    A gradient longer than ``max_norm`` is cut to that.
    """
    settings = {"betas": tuple(betas), "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
    return Adam(False, lr, schedule, final_lr, settings, max_norm)


def adamw(
    lr: float | None = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.01,
    schedule: Schedule = "cosine",
    final_lr: float = 0.01,
    max_norm: float | None = None,
) -> Adam:
    """AdamW (Loshchilov & Hutter 2019): Adam with decoupled weight decay.

    Good for anything that has a gradient, with weight decay that does not depend on its size.

    A gradient longer than ``max_norm`` is cut to that.
    """
    settings = {"betas": tuple(betas), "eps": eps, "weight_decay": weight_decay}
    return Adam(True, lr, schedule, final_lr, settings, max_norm)


def sgd(
    lr: float = 0.1,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    schedule: Schedule = "cosine",
    final_lr: float = 0.01,
    max_norm: float | None = None,
) -> TorchOptim:
    """Stochastic gradient descent (Robbins & Monro 1951) with momentum.

    Good for anything that has a gradient, where the learning rate may be tuned.

    A gradient longer than ``max_norm`` is cut to that.
    """
    share("strategy", "[0, 1)", momentum=momentum)
    settings = {"momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov}
    return TorchOptim("SGD", lr, schedule, final_lr, settings, max_norm)


def rmsprop(
    lr: float = 1e-3,
    alpha: float = 0.99,
    eps: float = 1e-8,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    schedule: Schedule = "cosine",
    final_lr: float = 0.01,
    max_norm: float | None = None,
) -> TorchOptim:
    """RMSprop (Hinton 2012): gradient descent, each coordinate scaled by its recent magnitude.

    Good for recurrent networks, and gradients whose scale drifts.

    A gradient longer than ``max_norm`` is cut to that.
    """
    share("strategy", "[0, 1)", alpha=alpha, momentum=momentum)
    settings = {"alpha": alpha, "eps": eps, "momentum": momentum, "weight_decay": weight_decay}
    return TorchOptim("RMSprop", lr, schedule, final_lr, settings, max_norm)


def torch_optim(
    optimizer: str = "Adam",
    lr: float = 1e-3,
    settings: dict[str, Any] = {},
    schedule: Schedule = "cosine",
    final_lr: float = 0.01,
    max_norm: float | None = None,
) -> TorchOptim:
    """Any optimiser of torch.optim by its class name; ``settings`` are its further arguments.

    Good for an optimiser of torch that has no name of its own here.

    A gradient longer than ``max_norm`` is cut to that.
    """
    return TorchOptim(optimizer, lr, schedule, final_lr, settings, max_norm)


for plugin in (adam, adamw, torch_optim, rmsprop):
    plugin.search_space = {"lr": "tag(log, interval(1e-4, 0.1))"}
sgd.search_space = {"lr": "tag(log, interval(1e-3, 1.0))", "momentum": "interval(0.0, 0.99)"}
