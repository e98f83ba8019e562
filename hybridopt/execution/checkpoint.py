"""Checkpoints that are whole or not there, written at the marks of the budget and when a signal asks to stop."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.plugins.io import TorchCheckpointIO

from hybridopt.errors import HybridoptError, Interrupted, ResumeError, StorageError, brief
from hybridopt.execution.agreement import CODE, SETTING, check_same, remedy
from hybridopt.execution.code import code_version
from hybridopt.execution.contents import DATA, FILE_OF, contents, short_hash
from hybridopt.execution.datasheet import Datasheet
from hybridopt.execution.directory import CHECKPOINT
from hybridopt.execution.identity import relevant
from hybridopt.execution.trial import Trial
from hybridopt.tracking.checked import complaint, read_checked
from hybridopt.tracking.checksums import ends_there
from hybridopt.tracking.files import replacing
from hybridopt.tracking.lines import JOURNAL
from hybridopt.tracking.provenance import differing_code

log = logging.getLogger(__name__)

FILE = CHECKPOINT
DIGESTS = "hybridopt_digests"  # in a checkpoint: of what decides the result
POSITION = "hybridopt_journal"  # in a checkpoint: the position of the journal
PARTS = {"hybridopt", "state_dict", "loops", "callbacks", "epoch", "global_step"}  # what one of ours has


def digests(config: Mapping[str, Any], trial: Trial, data: Datasheet) -> dict[str, str]:
    """Of each thing that decides a result, what tells it from another: settings, files, packages, data, network, code.

    Args:
        config: the run's.
        trial: built from it.
        data: described.
    """
    shapes = [(name, list(value.shape), str(value.dtype)) for name, value in trial.model.state_dict().items()]
    found = contents(config)  # after the data have been made, which may have been downloaded just now
    return {
        **{f"{SETTING}{key}": short_hash(value) for key, value in relevant(config).items()},
        **found,
        DATA: short_hash(
            [*sorted((context, sheet["digest"]) for context, sheet in data.inputs), *_read_by(data, found)]
        ),
        "network": short_hash(shapes),
        CODE: code_version(config),
    }


def check_resumable(path: Path, expected: Mapping[str, str]) -> None:
    """Refuse a checkpoint that is damaged, or from which this run cannot go on, or a journal that ends before it.

    Every byte of content is compared with the checksums that torch's format holds, of each record one.

    Args:
        path: the checkpoint.
        expected: the :func:`digests` of the run that is to go on.

    Raises:
        ResumeError: it is one of these.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        if broken is not None:
            raise _refused(path, f"is damaged: the checksum of {broken} is wrong")
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        found, position = loaded[DIGESTS], loaded[POSITION]
    except pickle.UnpicklingError as error:
        raise _refused(path, "holds more than tensors and plain values, and is not trusted") from error
    except (OSError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise _refused(path, f"is damaged ({brief(error)})") from error
    except (KeyError, TypeError) as error:
        raise _refused(path, "was not written by this version of hybridopt") from error
    directory = path.parent.parent
    check_same(found, expected, f"The checkpoint {path} belongs to a run with", directory)
    if not ends_there(directory / JOURNAL, str(position)):
        raise ResumeError(
            f"{directory / JOURNAL} lacks what the run reported before its checkpoint {path}, or is another run's: "
            f"{remedy(directory)}."
        )
    if differing := differing_code([found[CODE], expected[CODE]]):
        log.warning(
            "The checkpoint %s was computed by other versions of the code than go on from it: %s.", path, differing
        )


def _read_by(data: Datasheet, found: Mapping[str, str]) -> list[tuple[str, str]]:
    """The files that data are read from, where nothing tells more of what is in them."""
    if data.identified_by == "contents":
        return []
    return sorted((name, digest) for name, digest in found.items() if name.startswith(f"{FILE_OF}dataset."))


def _refused(path: Path, why: str) -> ResumeError:
    return ResumeError(f"The checkpoint {path} {why}: {remedy(path.parent.parent)}.")


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, syncs, and renames: a crash leaves the former checkpoint.

    Args:
        digests: kept with each checkpoint, see :func:`digests`.

    Attributes:
        restoring: the directory of a run that is being made from one, and whose training has not begun.
        journal_position: says how far the run's journal has come, which is kept with each checkpoint.
    """

    restoring: Path | None = None
    journal_position: Callable[[], str] | None = None

    def __init__(self, digests: Mapping[str, str] | None = None):
        super().__init__()
        self.digests = dict(digests or {})

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        target = Path(path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with replacing(target) as partial, partial.open("wb") as file:
                position = self.journal_position() if self.journal_position else ""
                torch.save(checkpoint | {DIGESTS: self.digests, POSITION: position}, file)
                file.flush()
                os.fsync(file.fileno())
        except (OSError, RuntimeError) as error:  # torch calls a disk that is full a RuntimeError
            raise StorageError(
                f"The checkpoint {target} cannot be written ({brief(error)}): make room, and type hybridopt "
                f"resume={target.parent.parent} to go on from the one before."
            ) from error

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Read a checkpoint of a run.

        Raises:
            ResumeError: it is damaged, or holds something else.
        """

        def parse(file: Path) -> dict[str, Any]:
            try:
                loaded = super(AtomicCheckpointIO, self).load_checkpoint(file, *args, **kwargs)
            except (pickle.UnpicklingError, RuntimeError) as error:  # torch's text advises to load it without care
                raise ValueError("it holds no tensors and plain values, or more than these") from error
            if not isinstance(loaded, dict) or PARTS - loaded.keys():
                raise ValueError("it is of something else than a run of hybridopt")
            return loaded

        directory = Path(path).parent.parent
        loaded = read_checked(Path(path), parse, remedy(directory))
        self.restoring = directory
        return loaded

    @contextmanager
    def refusing_others(self) -> Iterator[None]:
        """Inside, a run may go on from a checkpoint; one that does not fit is refused.

        Raises:
            ResumeError: it is of another network or strategy, or a part of it is damaged.
        """
        try:
            yield
        except Exception as error:
            if isinstance(error, HybridoptError) or self.restoring is None:
                raise
            raise ResumeError(
                f"The checkpoint does not fit the run ({complaint(error)}): {remedy(self.restoring)}."
            ) from error


class Signals:
    """SIGINT and SIGTERM, deferred to the end of the step; the second one of a kind has its usual effect at once.

    Attributes:
        caught: the numbers of those that have arrived.
    """

    def __init__(self) -> None:
        self.caught: list[int] = []
        self._former: dict[int, Any] = {}

    @contextmanager
    def catching(self) -> Iterator[None]:
        """Inside, signals are deferred."""
        with suppress(ValueError):  # only the main thread may install handlers
            for number in (signal.SIGINT, signal.SIGTERM):
                self._former[number] = signal.signal(number, self._note)
        try:
            yield
        finally:
            for number, handler in self._former.items():
                signal.signal(number, handler)

    def take_back(self) -> None:
        """Replace Lightning's handler, which would broadcast to the other ranks in the middle of a step."""
        if signal.SIGTERM in self._former and signal.SIGTERM not in self.caught:
            signal.signal(signal.SIGTERM, self._note)

    def _note(self, number: int, frame: Any) -> None:
        self.caught.append(number)
        signal.signal(number, self._former[number])


class MarkCheckpoint(Callback):
    """Saves at each mark, after its validation; on SIGINT or SIGTERM saves after the running step and stops.

    Of several ranks, each may get the signal at another step, or not at all: the first one's counts.

    Args:
        directory: the run's directory.
        signals: what has arrived.
        checkpoints: what the run goes on from is read by it.
    """

    skips_batches = True  # it need not see every batch

    def __init__(self, directory: Path, signals: Signals, checkpoints: AtomicCheckpointIO):
        self.path = directory / FILE
        self.signals, self.checkpoints = signals, checkpoints

    def on_train_start(self, trainer: Trainer, trial: Trial) -> None:
        self.checkpoints.restoring = None
        self.signals.take_back()

    def on_validation_end(self, trainer: Trainer, trial: Trial) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking and not trainer.fast_dev_run:  # pyright: ignore[reportAttributeAccessIssue]
            trainer.save_checkpoint(self.path)
            number = self._agreed_signal(trial)
            if number and not trial.ledger.exhausted:
                self._stop(trial, number)

    def on_train_batch_end(self, trainer: Trainer, trial: Trial, *args: Any) -> None:
        if trial.at_mark:
            return  # the validation comes first, and saves
        number = self._agreed_signal(trial)
        if number:
            trainer.save_checkpoint(self.path)
            self._stop(trial, number)

    def _agreed_signal(self, trial: Trial) -> int:
        """The number of the first signal, or 0."""
        return int(trial.sharding.broadcast(self.signals.caught[0] if self.signals.caught else 0))

    def _stop(self, trial: Trial, number: int) -> None:
        raise Interrupted(
            f"Stopped by {signal.Signals(number).name} after {trial.ledger.forwards} forwards; to go on, type: "
            f"hybridopt resume={self.path.parent.parent}",
            number,
        )
