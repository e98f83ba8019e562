"""A Lightning logger over a tracker, so that Lightning's callbacks draw over the same x-axis as everything else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_only  # pyright: ignore[reportPrivateImportUsage]

from hybridopt.tracking.tracker import Tracker


class TrackerLogger(Logger):
    """Hands what Lightning logs to the tracker.

    Lightning puts checkpoints into save_dir/name/version; name and version are empty, so that they lie in the run's
    directory itself. The run is ended by whoever opened the tracker: it outlives a fit and a test.

    Args:
        tracker: where the metrics go.
        clock: gives the forwards spent, which are the step; Lightning's own step is ignored.
    """

    def __init__(self, tracker: Tracker, clock: Callable[[], int]):
        super().__init__()
        self._tracker = tracker
        self._clock = clock

    @property
    def name(self) -> str:
        """Empty, see above."""
        return ""

    @property
    def version(self) -> str:
        """Empty, see above."""
        return ""

    @property
    def save_dir(self) -> str:
        """The run's directory."""
        return str(self._tracker.directory)

    @property
    def log_dir(self) -> str:
        """The run's directory."""
        return self.save_dir

    @property
    def experiment(self) -> Tracker:
        """The tracker, for callbacks that have more to say."""
        return self._tracker

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log ``metrics`` at the forwards spent; ``step`` and Lightning's own ``epoch`` are dropped."""
        kept = {name: value for name, value in metrics.items() if name != "epoch"}
        self._tracker.log_metrics(kept, self._clock())

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the run's config is logged by the experiment."""
