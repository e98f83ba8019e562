"""Nevergrad's optimisers (Rapin, Teytaud 2018), https://github.com/facebookresearch/nevergrad: over 500 by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor

from hybridopt.core.search import Search
from hybridopt.errors import ConfigError, HybridoptError, ResumeError, brief
from hybridopt.toolbox.daemon import on_daemon
from hybridopt.toolbox.fitness import FAILURE
from hybridopt.toolbox.ranges import at_least, positive

if TYPE_CHECKING:
    from nevergrad.optimization.base import Optimizer

ARCHIVE = 64 * 2**20  # bytes of told candidates that nevergrad may keep; its own rule allows gigabytes
FULL_COVARIANCE = 2000  # dimensions up to which a d x d matrix is affordable


class Nevergrad(Search):
    """Any optimiser of nevergrad, by its registered name.

    Good for trying one of several hundred black-box optimisers without writing it.

    Nevergrad remembers the losses that it was told, whatever their batch. On minibatches, methods that rank within a
    generation, such as DiagonalCMA, are therefore the sound choice, with popsize no smaller than their own default
    (CMA: 4 + 3 ln d). The recommendation is not nevergrad's, which is often the luckiest batch's: an incumbent is
    evaluated once more on each new batch, charged, and gives way to a candidate that beats it there.

    Where each batch is the same one and no dropout is drawn, all is as in nevergrad's own loop: the function counts as
    deterministic, which changes what choosers such as NGOpt choose, and the incumbent is the best candidate. The
    budget that nevergrad is told is what is left for its own candidates; of a budget of seconds it is an estimate.

    A checkpoint holds the seed and the losses, and nothing pickled. Resuming asks and tells the whole history again
    without evaluating, which takes nevergrad's share of the time spent so far: about a minute for 40 000 candidates of
    DiagonalCMA in 2400 dimensions.

    Args:
        optimizer: a name of ``nevergrad.optimizers.registry``.
        popsize: candidates asked for at a time, on one batch (nevergrad's ``num_workers``).
        sigma: the standard deviation of the first mutations around the start vector.
        moves_per_step: generations on one batch; more than one suits popsize=1.
        allow_recast: admit optimisers that run foreign code in a thread of their own, which may stop early or freeze.
        noisy: whether nevergrad is told that losses are noisy; None says what is true of batches and dropout.
    """

    conformance: ClassVar[dict[str, Any]] = {
        "expected_failures": {"dimension_of_one": "nevergrad's CMA-ES, which is the default, needs two dimensions"}
    }

    search_space: ClassVar[dict[str, str]] = {"sigma": "tag(log, interval(0.005, 0.5))"}
    x0: Tensor  # (d,)
    incumbent: Tensor  # (d,)
    loss: Tensor  # a scalar, of the incumbent on this batch

    def __init__(
        self,
        optimizer: str = "DiagonalCMA",
        popsize: int = 32,
        sigma: float = 0.05,
        moves_per_step: int = 1,
        allow_recast: bool = False,
        noisy: bool | None = None,
    ):
        super().__init__()
        at_least("strategy", 1, popsize=popsize, moves_per_step=moves_per_step)
        positive("strategy", sigma=sigma)
        self.optimizer = optimizer
        self.popsize = popsize
        self.sigma = sigma
        self.moves_per_step = moves_per_step
        self.allow_recast = allow_recast
        self.noisy = noisy
        self._forget()

    def _forget(self) -> None:
        self._optimizer: Optimizer | None = None  # made, or made again after a load, by the next ask
        self._asked: list[Any] = []
        self._seed: int | None = None
        self._budget: int | None = None
        self._deterministic = False
        self._told: list[Tensor] = []  # (popsize,) losses of each generation
        self._last: Tensor | None = None  # (d,) the last candidate, by which a replay is checked

    def start(self, x0: Tensor) -> None:
        self._forget()
        self.register_buffer("x0", x0.clone())
        self.register_buffer("incumbent", x0.clone())
        self.register_buffer("loss", x0.new_tensor(math.inf))
        refuse_name(self.optimizer, self.popsize, self.allow_recast)
        self._seed = int(torch.randint(2**32, (), generator=self.generator, device=self.generator.device))
        self._deterministic = self.context.exact if self.noisy is None else not self.noisy
        self._budget = self._own_losses()
        self._optimizer = self._build(self._seed, self._budget)

    def ask(self) -> Tensor:
        if self._optimizer is None:
            self._optimizer = self._replay()
        self._asked = self._ask(self._optimizer)
        candidates = torch.as_tensor(np.stack([candidate.value for candidate in self._asked])).to(self.x0)
        return torch.cat([self.incumbent[None], candidates]) if self.fresh else candidates

    def tell(self, population: Tensor, losses: Tensor) -> None:
        if self.fresh:
            self.loss = losses[0]
        candidates, losses = population[-self.popsize :], losses[-self.popsize :]
        self._told.append(losses.clamp(max=FAILURE).cpu())
        self._last = torch.as_tensor(self._asked[-1].value).clone()
        self._tell(cast("Optimizer", self._optimizer), self._asked, self._told[-1])
        best = losses.argmin()
        better = losses[best] < self.loss
        self.incumbent = torch.where(better, candidates[best], self.incumbent)
        self.loss = torch.where(better, losses[best], self.loss)

    def recommend(self) -> Tensor:
        return self.incumbent

    def facts(self) -> dict[str, str]:
        if self._seed is None:
            return {}
        if self._optimizer is None:  # loaded, and there was nothing left to ask for
            self._optimizer = self._replay()
        return {"nevergrad": concrete(self._optimizer).name}

    def _own_losses(self) -> int:
        """How many of the budget's losses are not the incumbent's, which is evaluated once on each new batch."""
        each = self.popsize * self.moves_per_step
        own = self.horizon - 1 if self.context.exact else self.horizon * each // (each + 1)
        return max(1, own)

    # -- nevergrad's side ---------------------------------------------------------------------------------------------

    def _build(self, seed: int, budget: int) -> Optimizer:
        import nevergrad as ng

        parametrization = ng.p.Array(init=self.x0.double().cpu().numpy()).set_mutation(sigma=self.sigma)
        parametrization.random_state = np.random.RandomState(seed)
        parametrization.function.deterministic = self._deterministic
        with sentences(self.optimizer):
            optimizer = ng.optimizers.registry[self.optimizer](parametrization, budget, self.popsize)
            refuse_parts(self.optimizer, optimizer, self.popsize, self.allow_recast)
        for part in parts(optimizer):
            part.pruning = pruning(part)
            spare_checks_of_bounds(part)
        return optimizer

    def _ask(self, optimizer: Optimizer) -> list[Any]:
        def asking() -> list[Any]:
            return [optimizer.ask() for _ in range(self.popsize)]

        with sentences(self.optimizer):
            return on_daemon(asking) if self.allow_recast else asking()

    def _tell(self, optimizer: Optimizer, asked: list[Any], losses: Tensor) -> None:
        for candidate, loss in zip(asked, losses.tolist(), strict=True):
            optimizer.tell(candidate, loss)

    def _replay(self) -> Optimizer:
        """An optimiser that has lived through the history."""
        optimizer, asked = self._build(cast(int, self._seed), cast(int, self._budget)), []
        for losses in self._told:
            asked = self._ask(optimizer)
            self._tell(optimizer, asked, losses)
        if self._last is not None and not np.array_equal(asked[-1].value, self._last.numpy()):
            raise ResumeError(
                f"Nevergrad's {self.optimizer} does not repeat itself from its seed, so this run cannot be continued: "
                "start another one, or choose another strategy.optimizer."
            )
        return optimizer

    def get_extra_state(self) -> dict[str, Any]:
        told = torch.stack(self._told) if self._told else None
        asked = {"seed": self._seed, "budget": self._budget, "deterministic": self._deterministic}
        return {**asked, "told": told, "last": self._last}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self._forget()
        self._seed, self._budget, self._last = state["seed"], state["budget"], state["last"]
        self._deterministic = state["deterministic"]
        self._told = [] if state["told"] is None else list(state["told"])


# -- what cannot work, said before training ---------------------------------------------------------------------------


def refuse_name(name: str, popsize: int, allow_recast: bool) -> None:
    """Refuse what the registry alone tells."""
    import nevergrad as ng

    registry = ng.optimizers.registry
    if name not in registry:
        lower = {known.lower(): known for known in registry}
        close = [lower[key] for key in get_close_matches(name.lower(), lower, n=3)]
        hint = f"Did you mean {' or '.join(close)}?" if close else "Common ones are DiagonalCMA, NGOpt and TwoPointsDE."
        raise ConfigError(f"Nevergrad has no optimizer {name!r}. {hint} See nevergrad.optimizers.registry for all.")
    if registry[name].recast and not allow_recast:
        raise ConfigError(recast_sentence(name, name))
    if registry[name].no_parallelization and popsize > 1:
        raise ConfigError(sequential_sentence(name))


def refuse_parts(name: str, optimizer: Optimizer, popsize: int, allow_recast: bool) -> None:
    """Refuse what shows once the optimiser, and whatever it is made of or chooses, is there."""
    from nevergrad.optimization.optimizerlib import _CMA, _PSO, EDA

    for part in parts(optimizer):
        if part.recast and not allow_recast:
            raise ConfigError(recast_sentence(name, part.name))
        if part.recast and popsize > 1:
            raise ConfigError(sequential_sentence(name))
        if isinstance(part, _CMA) and optimizer.dimension == 1:  # nevergrad would switch to it, for all of its CMAs
            raise ConfigError(
                f"strategy.optimizer={name} needs more than one dimension: take another one, such as "
                "strategy.optimizer=OnePlusOne."
            )
        full = isinstance(part, cast(type, EDA)) or (isinstance(part, _CMA) and not part._config.diagonal)
        if full and optimizer.dimension > FULL_COVARIANCE:
            raise ConfigError(
                f"strategy.optimizer={name} keeps a full covariance matrix, which is too large in more than "
                f"{FULL_COVARIANCE} dimensions, here {optimizer.dimension}: take strategy.optimizer=DiagonalCMA, or "
                "encoding=subspace."
            )
    chosen = concrete(optimizer)
    if isinstance(chosen, _PSO) and chosen._config.transform != "identity":  # a portfolio can do with one bad member
        raise ConfigError(
            f"strategy.optimizer={name} is a particle swarm for bounded variables, and weights are not bounded: take "
            "strategy.optimizer=RealSpacePSO."
        )


def recast_sentence(name: str, part: str) -> str:
    through = "" if part == name else f" uses {part}, which"
    return (
        f"strategy.optimizer={name}{through} runs foreign code in a thread of its own that may freeze or end early: "
        "take another one, such as DiagonalCMA, or accept it by strategy.allow_recast=true strategy.popsize=1."
    )


def sequential_sentence(name: str) -> str:
    return (
        f"strategy.optimizer={name} looks at one candidate at a time: set strategy.popsize=1, and "
        "strategy.moves_per_step=50 or so for as many candidates on each batch."
    )


@contextmanager
def sentences(name: str) -> Iterator[None]:
    """Say in a sentence what nevergrad says by whatever exception."""
    try:
        yield
    except HybridoptError:
        raise
    except Exception as error:
        cause = error.__cause__ or error  # a thread's exception comes wrapped
        if isinstance(cause, ImportError):
            raise ConfigError(f"strategy.optimizer={name} needs a package that is missing: {brief(cause)}.") from error
        if "parallelization" in str(cause):
            raise ConfigError(sequential_sentence(name)) from error
        raise ConfigError(
            f"Nevergrad's {name} cannot work here, it says {type(cause).__name__} ({brief(cause)}): take another "
            "strategy.optimizer, such as DiagonalCMA."
        ) from error


# -- inside of nevergrad ----------------------------------------------------------------------------------------------


def parts(optimizer: Optimizer) -> list[Optimizer]:
    """The optimiser and all that it is made of: chains, portfolios and choosers keep theirs in attributes."""
    from nevergrad.optimization.base import Optimizer

    found, new = [], [optimizer]
    while new:
        part = new.pop()
        found.append(part)
        held = [*vars(part).values(), getattr(part, "optim", None)]  # a chooser chooses when asked for .optim
        flat = [item for value in held for item in (value if isinstance(value, list) else [value])]
        new += [
            item for item in flat if isinstance(item, Optimizer) and all(item is not other for other in found + new)
        ]
    return found


def concrete(optimizer: Optimizer) -> Optimizer:
    """The optimiser that a chooser, such as NGOpt, has chosen."""
    while hasattr(optimizer, "optim"):
        optimizer = cast(Any, optimizer).optim
    return optimizer


def spare_checks_of_bounds(optimizer: Optimizer) -> None:
    """Let nevergrad's CMAs not ask with each candidate whether all variables are bounded, which here they never are.

    The answer takes two copies of the parametrisation, and half of the time of a candidate.
    """
    from nevergrad.optimization.optimizerlib import _CMA

    if isinstance(optimizer, _CMA):
        kind = cast(Any, type(optimizer))

        def es(self: Any) -> Any:
            made = self._es is not None and (self._config.fcmaes or not self._es.stop())
            return self._es if made else cast(Any, kind.es).fget(self)

        optimizer.__class__ = type(kind.__name__, (kind,), {"es": property(es)})


def pruning(optimizer: Optimizer) -> Callable[[Any], Any]:
    """Nevergrad's own pruning of its archive, but never more than ARCHIVE bytes."""
    from nevergrad.optimization.utils import Pruning

    usual = optimizer.pruning or Pruning.sensible_default(optimizer.num_workers, optimizer.dimension)
    most = max(8, ARCHIVE // (16 * optimizer.dimension))  # float64, as a key and as a value
    return Pruning(min_len=min(usual.min_len, most // 4), max_len=min(usual.max_len, most))
