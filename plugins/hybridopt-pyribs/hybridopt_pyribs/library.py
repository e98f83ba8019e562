"""Pyribs' scheduler with its archives and emitters, as a whole that is asked, told, seeded and saved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from ribs.emitters import EmitterBase
from ribs.schedulers import Scheduler

from hybridopt.toolbox.fitness import FAILURE
from hybridopt.toolbox.frozen import freeze, thaw
from hybridopt_pyribs.archive import Grid

MARGIN = 1e4  # widths of the range by which a measure may be outside of it and keep its value
OF_SETTINGS = ("lower_bounds", "upper_bounds", "_solutions")  # of an evolution strategy; the last is of one generation
OF_EMITTERS = ("_itrs", "_restarts")


class Library:
    """A scheduler of pyribs.

    Args:
        archive: what emitters see.
        emitters: of candidates.
        result: what is kept, where that is another archive (CMA-MAE).
    """

    def __init__(self, archive: Grid, emitters: Sequence[EmitterBase], result: Grid | None = None):
        self.archive, self.emitters = archive, emitters
        self.result = archive if result is None else result
        self.scheduler = Scheduler(archive, emitters, result)

    @property
    def archives(self) -> list[Grid]:
        """One, or two."""
        return [self.archive] if self.result is self.archive else [self.archive, self.result]

    def begin(self, solution: np.ndarray, loss: float, measures: np.ndarray) -> None:
        """Have a first elite (d,), even if it has failed: emitters draw from the archive."""
        self.add(solution[None], np.array([loss]), measures[None])
        for archive in self.archives:
            if archive.empty:
                archive.put(solution, objectives(np.array([loss]))[0], self.clipped(measures[None])[0])
        for emitter in self.emitters:
            if hasattr(emitter, "_ranker"):
                emitter._ranker.reset(emitter, self.archive)  # a direction of its own, from the run's generator

    def ask(self) -> np.ndarray:
        """Candidates (n, d)."""
        return self.scheduler.ask()

    def tell(self, losses: np.ndarray, measures: np.ndarray) -> None:
        """Learn from the losses (n,) and measures (n, k) of the candidates just asked for; inf is a failure."""
        self.scheduler.tell(**self._told(losses, measures))

    def centers(self) -> np.ndarray:
        """Where each emitter wants gradients (e, d); asking changes nothing."""
        return np.concatenate([emitter.ask_dqd() for emitter in self.emitters])

    def tell_gradients(self, losses: np.ndarray, measures: np.ndarray, slopes: np.ndarray) -> None:
        """Learn from the gradients (e, 1 + k, d) of loss and measures at the centres."""
        self.scheduler.ask_dqd()
        jacobian = np.concatenate([-slopes[:, :1], slopes[:, 1:]], axis=1)
        self.scheduler.tell_dqd(**self._told(losses, measures), jacobian=jacobian)

    def add(self, solutions: np.ndarray, losses: np.ndarray, measures: np.ndarray) -> None:
        """Offer the archives solutions (n, d) that no emitter has made."""
        for archive in self.archives:
            archive.add(solutions, **self._told(losses, measures))

    def _told(self, losses: np.ndarray, measures: np.ndarray) -> dict[str, np.ndarray]:
        failed = ~np.isfinite(losses) | ~np.isfinite(measures).all(axis=1)
        told = objectives(np.where(failed, np.inf, losses))
        return {"objective": told, "measures": self.clipped(measures), "times": np.ones(len(losses), np.int64)}

    def clipped(self, measures: np.ndarray) -> np.ndarray:
        """Measures that pyribs can tell the cell of: what is outside of the range belongs to the outermost one."""
        low, high = self.archive.lower_bounds, self.archive.upper_bounds
        margin = MARGIN * (high - low)
        return np.clip(np.where(np.isnan(measures), low, measures), low - margin, high + margin)

    # -- randomness and checkpoints -----------------------------------------------------------------------------------

    def seed(self, generator: torch.Generator) -> None:
        """Draw from this generator until the next call: pyribs' own ones are made anew from a number of it."""
        number = torch.randint(2**62, (), generator=generator, device=generator.device)
        source = np.random.default_rng(int(number))
        for part in self._drawing():
            part._rng = source

    def _drawing(self) -> Iterator[Any]:
        """Whatever draws."""
        yield from self.archives
        for emitter in self.emitters:
            parts = [emitter, *(getattr(emitter, name, None) for name in ("_opt", "_ranker"))]
            yield from (part for part in parts if hasattr(part, "_rng"))

    def freeze(self) -> dict[str, Any]:
        """All that the future depends on, as tensors and plain values."""
        return {
            "archives": [archive.freeze() for archive in self.archives],
            "emitters": [[freeze(part, skip) for part, skip in parts_of(emitter)] for emitter in self.emitters],
        }

    def thaw(self, state: dict[str, Any]) -> None:
        """Become as another one was, made from the same settings."""
        for archive, known in zip(self.archives, state["archives"], strict=True):
            archive.thaw(known)
        for emitter, known in zip(self.emitters, state["emitters"], strict=True):
            for (part, _), values in zip(parts_of(emitter), known, strict=True):
                thaw(part, values)


def objectives(losses: np.ndarray) -> np.ndarray:
    """What pyribs maximises."""
    return -np.minimum(losses, FAILURE)


def parts_of(emitter: EmitterBase) -> list[tuple[Any, list[str]]]:
    """The objects that hold an emitter's state, each with the names of its attributes that are none."""
    parts = [(emitter, [name for name in vars(emitter) if name not in OF_EMITTERS])]
    optimizer = getattr(emitter, "_opt", None)
    if optimizer is not None:
        parts += [(optimizer, list(OF_SETTINGS)), (optimizer.cov, []), (emitter._ranker, [])]
    if hasattr(emitter, "_grad_opt"):
        parts.append((emitter._grad_opt, []))
    return parts
