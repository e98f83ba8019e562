"""What a finished run reported and its MLflow store has not taken yet, delivered later."""

from __future__ import annotations

import logging
import math
from pathlib import Path

from hybridopt.errors import TrackingError
from hybridopt.tracking.identity import holds_identity, read_identity
from hybridopt.tracking.journal import Journal, read_delivered
from hybridopt.tracking.lines import JOURNAL, read_operations
from hybridopt.tracking.store import prepare_store
from hybridopt.tracking.trust import check_named
from hybridopt.tracking.writer import MlflowWriter

log = logging.getLogger(__name__)


def deliver_leftovers(directory: Path, uri: str | None = None, patience: float = math.inf) -> int:
    """Deliver what the journal of a finished run holds and MLflow does not have yet.

    Args:
        directory: the run's.
        uri: the store that the user has named, or None.
        patience: seconds after which the rest is left for another time; a store that takes nothing is left before.

    Returns:
        The number of operations that are still undelivered, 0 for a run that MLflow never knew.

    Raises:
        ResumeError: another process is writing this run.
        TrackingError: the directory names a store that is none of the user's.
    """
    directory = Path(directory).absolute()
    left = undelivered(directory)
    if left == 0:
        return 0
    identity = read_identity(directory)
    check_named(identity.tracking_uri, [uri], directory)
    try:
        prepare_store(identity.tracking_uri, create=False)
    except TrackingError as error:
        log.warning("%s", error)
        return left
    journal = Journal(directory)  # held, so that no other process delivers at the same time
    writer = MlflowWriter(directory, identity.tracking_uri, identity.run_id, patience=patience)
    writer.start()
    left = writer.finish()
    journal.close()
    return left


def undelivered(directory: Path) -> int:
    """How many operations of a run its MLflow store does not have yet; 0 for a run that MLflow never knew."""
    if not holds_identity(directory):
        return 0
    return sum(1 for _ in read_operations(directory / JOURNAL, read_delivered(directory)))
