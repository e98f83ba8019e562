"""The sweeper that hybridopt uses: all combinations, but only those that have not finished yet."""

from __future__ import annotations

from typing import Any

from hydra.errors import CompactHydraException
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hybridopt.errors import HybridoptError
from hybridopt.sweep.controls import with_controls
from hybridopt.sweep.plan import Planner, all_combinations, compose_jobs, sweep_id
from hybridopt.sweep.session import SweepRun


class GridSweeper(Sweeper):
    """Runs all combinations of the values given, each in a directory of its own, under one run of the sweep in MLflow.

    The same command again runs what has not finished; a job that was stopped goes on from its last checkpoint.

    Args:
        max_batch_size: how many jobs are handed to the launcher at a time.
        params: overrides that are swept besides those of the command line, by key.
    """

    def __init__(self, max_batch_size: int | None = None, params: dict[str, str] | None = None):
        self.max_batch_size = max_batch_size
        self.params = dict(params or {})

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.task, self.master = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> Any:
        """Run the sweep, or show what it would be.

        Raises:
            CompactHydraException: a sentence for the user.
            SystemExit: not all jobs have finished.
        """
        try:
            return self._sweep([*(f"{key}={value}" for key, value in self.params.items()), *arguments])
        except HybridoptError as error:
            raise CompactHydraException(str(error)) from error

    def _sweep(self, arguments: list[str]) -> None:
        planner = Planner(self.context.config_loader, self.master)
        jobs = compose_jobs(planner, all_combinations(planner.parse(arguments)))
        name = sweep_id(self.master.sweep.name, (job.fingerprint for job in jobs))  # with control arms or without
        jobs = with_controls(planner, jobs, self.master.sweep.controls)
        run = SweepRun(self.master, self.context, self.task, name, arguments)
        if self.master.sweep.preview:
            from hybridopt.sweep.preview import preview

            preview(jobs, run)
            return
        with run.open():
            run.run(jobs, self.max_batch_size)
