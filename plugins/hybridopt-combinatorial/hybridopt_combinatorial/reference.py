"""What a gap is measured to: the optimum, a bound on it, or the best value that anybody has found."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from filelock import FileLock

from hybridopt import ConfigError
from hybridopt.toolbox import ranges
from hybridopt_combinatorial.exact.proof import Proof

log = logging.getLogger(__name__)

FORMAT = 1  # of the files in the cache; a solver that comes to other answers needs another one


@dataclass(frozen=True)
class Reference:
    """What a gap is measured to.

    Args:
        value: in units of the loss.
        proven: whether it is the optimum, and proven to be.
    """

    value: float
    proven: bool


class Yardstick:
    """The reference of one instance: solved for when it is first asked for, and once for all jobs of a machine.

    Answers are kept in ``$XDG_CACHE_HOME/hybridopt/combinatorial`` (by default under ``~/.cache``), where jobs that
    need the same one wait for each other. An answer without a proof is sought again when more time is given.

    Args:
        solver: (instance, seconds) -> the optimum, or a bound on it.
        instance: as the objective gets it, in float32.
        time_limit: seconds for the solver; 0 for the bound that takes none.
        best_known: takes the place of the solver's answer: the best loss known of this instance.

    Raises:
        ConfigError: the time limit is negative, or the best known value not finite or zero.
    """

    def __init__(
        self,
        solver: Callable[[np.ndarray, float], Proof],
        instance: np.ndarray,
        time_limit: float,
        best_known: float | None = None,
    ):
        ranges.at_least("dataset", 0, time_limit=time_limit)
        ranges.finite("dataset", best_known=best_known)
        if best_known == 0:
            raise ConfigError("dataset.best_known must not be 0, since the gap to it is a share of its size.")
        self.solver, self.instance = solver, instance
        self.time_limit, self.best_known = time_limit, best_known

    @cached_property
    def reference(self) -> Reference:
        """What a gap is measured to."""
        if self.best_known is not None:
            return Reference(float(self.best_known), proven=False)
        proof = self._cached()
        if not proof.optimal:
            log.warning(
                "No solution was proven optimal within %g s: gap is the distance to the bound %g, and the distance to "
                "the optimum is smaller. Raise dataset.time_limit, or give the best value known as dataset.best_known.",
                self.time_limit,
                proof.bound,
            )
        return Reference(proof.bound, proof.optimal)

    def _cached(self) -> Proof:
        path = cache() / f"{self._key()}.json"
        with locked(path):
            known = read(path, self.time_limit)
            if known is None:
                known = self.solver(self.instance.astype(np.float64), self.time_limit)
                write(path, known, self.time_limit)
        return known

    def _key(self) -> str:
        array = np.ascontiguousarray(self.instance)
        name = f"{FORMAT} {self.solver.__module__} {array.dtype} {array.shape} "
        return hashlib.sha256(name.encode() + array.tobytes()).hexdigest()


def cache() -> Path:
    """Where answers are kept."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "hybridopt" / "combinatorial"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time, where the cache can be written at all."""
    lock = FileLock(path.with_suffix(".lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        log.info("%s cannot be written (%s): the reference is computed again.", path.parent, error)
    try:
        yield
    finally:
        lock.release()


def read(path: Path, time_limit: float) -> Proof | None:
    """An answer that was kept, unless more time may better it."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        proof, spent = Proof(**stored["proof"]), stored["time_limit"]
    except (OSError, ValueError, KeyError, TypeError):  # not there, or not whole
        return None
    return proof if proof.optimal or spent >= time_limit else None


def write(path: Path, proof: Proof, time_limit: float) -> None:
    """Keep an answer, where that can be done."""
    partial = path.with_suffix(".partial")
    try:
        partial.write_text(json.dumps({"proof": asdict(proof), "time_limit": time_limit}), encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        log.info("%s cannot be written: %s", path, error)
