"""The sweeper that runs a study, as Hydra knows it; nothing heavy is imported before it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.errors import CompactHydraException
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hybridopt.errors import HybridoptError


class StudySweeper(Sweeper):
    """Runs a study: each arm is tuned by as many trials, then run with fresh seeds; cells are computed; and judged.

    All of it is one sweep, in a directory of its own name: the same command again runs what has not finished.

    Args:
        study: its name.
        profile: which of its profiles.
        workers: processes that compute cells at a time; how many jobs run at a time is the launcher's to say.
        settings: of the study, by name.
    """

    def __init__(self, study: str, profile: str = "docs", workers: int = 1, settings: Mapping[str, Any] | None = None):
        self.study, self.profile, self.workers = study, profile, workers
        self.settings = dict(settings or {})

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.task, self.master = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> Any:
        """Run the study.

        Returns:
            The verdict; None where jobs are missing.

        Raises:
            CompactHydraException: a sentence for the user.
            SystemExit: not all jobs have finished.
        """
        from hybridopt.study.running import StudyRun

        try:
            return StudyRun(self.study, self.profile, self.workers, self.settings).run(
                self.master, self.context, self.task, arguments
            )
        except HybridoptError as error:
            raise CompactHydraException(str(error)) from error
