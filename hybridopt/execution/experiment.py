"""The composition root: a resolved config becomes objects, the objects a run, the run a result."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, cast

from hybridopt.composition import checking, targets
from hybridopt.core.spec import DataSpec
from hybridopt.engine import trees
from hybridopt.engine.in_place import is_large
from hybridopt.engine.memory import begin_peak
from hybridopt.errors import Interrupted, TrackingError
from hybridopt.execution.checkpoint import (
    FILE,
    AtomicCheckpointIO,
    Signals,
    digests,
)
from hybridopt.execution.code import code_version
from hybridopt.execution.datasheet import datasheet
from hybridopt.execution.directory import (
    CONFIG_FILE,
    CURVE_FILE,
    MODEL,
    TRACEBACK_FILE,
    WEIGHTS,
    State,
    finish_killed,
    kept,
    note_code,
    owning,
    state,
    write_artifacts,
)
from hybridopt.execution.feeding import as_batch
from hybridopt.execution.front_files import write_front
from hybridopt.execution.identity import as_it_began, content_tags, flattened, read_job, tags, without_command
from hybridopt.execution.note import page_tags
from hybridopt.execution.parts import build_parts, build_trial, rebuilt
from hybridopt.execution.pretrained import write_weights
from hybridopt.execution.rehearsal import check_monitors, rehearse
from hybridopt.execution.result import Result, phases, plot_curve, summarise
from hybridopt.execution.runtime import (
    appears,
    explaining_training,
    processes_of_its_own,
    quiet,
    threads,
)
from hybridopt.execution.store import trusting, with_masked_store
from hybridopt.execution.trainers import build_trainer
from hybridopt.execution.transaction import begin, closing_run
from hybridopt.toolbox import status
from hybridopt.toolbox.figures import drawable
from hybridopt.tracking.delivery import deliver_leftovers, undelivered
from hybridopt.tracking.files import explaining
from hybridopt.tracking.logger import TrackerLogger
from hybridopt.tracking.model import save_model
from hybridopt.tracking.system import watching
from hybridopt.tracking.tracker import Tracker
from hybridopt.tracking.writer import PATIENCE

log = logging.getLogger(__name__)


def run(
    config: Mapping[str, Any],
    directory: Path,
    parent_run_id: str | None = None,
    more_tags: Mapping[str, str] | None = None,
    instantiate_targets: bool = False,
) -> Result | None:
    """Run a job, or go on with one.

    Where the Trainer has several devices, Lightning starts the program again for each of the others. Those evaluate
    their part of every population and report nothing: the first rank alone writes, tracks and prints.

    Args:
        config: plain values, resolved; ``resume`` set means: go on with the run in ``directory``, by its own config.
        directory: the run's directory.
        parent_run_id: the MLflow run of the sweep that this job is a part of.
        more_tags: for the MLflow run, besides those that say what the run is.
        instantiate_targets: whether the user has typed that the config may call what is no plugin; what the config
            itself says of that does not count.

    Returns:
        What came out; None on the other ranks.

    Raises:
        HybridoptError: a sentence for the user.
    """
    with nullcontext() if config.get("resume") is None else as_it_began(directory):
        return _run(config, directory, parent_run_id, more_tags, instantiate_targets)


def _run(
    config: Mapping[str, Any],
    directory: Path,
    parent_run_id: str | None,
    more_tags: Mapping[str, str] | None,
    instantiate_targets: bool,
) -> Result | None:
    resume = config.get("resume") is not None
    if resume:
        named = config.get("tracking", {}).get("uri")
        config = trusting(named, read_job(directory))
        if state(directory) == State.FINISHED:
            return _finished(directory, config)
    targets.check(config, instantiate_targets)
    if not resume:  # what was read is checked already
        checking.check(config)
    config = with_masked_store(config)
    begin_peak()
    status.say("loading the data, and trying the first step")
    with quiet(but_profiles=bool(config["trainer"].get("profiler"))), processes_of_its_own():
        job = Job(config, directory)
        with threads(config["threads"], job.trial.model, job.trainer.world_size):
            if job.trainer.global_rank > 0:
                return job.run_worker_rank(resume)
            return run_main_rank(job, parent_run_id, more_tags or {}, resume)


def run_main_rank(job: Job, parent_run_id: str | None, more_tags: Mapping[str, str], resume: bool) -> Result:
    """Run a job as its first rank, which for most jobs is the only one."""
    if not resume:
        job.rehearse()  # before a run that is there is deleted for this one
    advice = f"make room, and type hybridopt resume={job.directory} to go on from the last checkpoint"
    start_over = job.config.get("start_over", False)
    with explaining(job.directory, advice), owning(job.directory, not resume, start_over) as lock:
        if resume and finish_killed(job.directory, lock):
            lock.release()
            return _finished(job.directory, job.config)
        status.say("opening MLflow's store")
        tracker = begin(job.config, job.directory, job.digests, parent_run_id, resume, lock)
        with closing_run(tracker, job.directory):
            code = note_code(job.directory, code_version(job.config))
            tracker.set_tags({**more_tags, "hybridopt.code": "; ".join(code)})
            tracker.set_tags(page_tags(job.directory))
            result = job.run(tracker, resume)
            result.undelivered = tracker.finish("FINISHED")
    return result


class Job:
    """The objects of one run, built from its config.

    Args:
        config: plain values, resolved.
        directory: the run's directory.
    """

    def __init__(self, config: Mapping[str, Any], directory: Path):
        self.config, self.directory = config, directory
        self.trial, self.datamodule = build_parts(config)
        self.data = datasheet(self.datamodule, config["dataset"], cast(DataSpec, self.trial.spec))
        self.digests = digests(config, self.trial, self.data)
        self.signals, self.checkpoints = Signals(), AtomicCheckpointIO(self.digests)
        self.trainer = build_trainer(config, directory, self.signals, self.checkpoints)

    def rehearse(self) -> None:
        """Refuse what the first step would refuse."""
        spec = cast(DataSpec, self.trial.spec)
        device = self.trainer.strategy.root_device
        model, strategy = self.trial.model, self.trial.strategy
        network = model if strategy.in_place and is_large(model.parameters()) else None  # no second one
        make = partial(build_trial, self.config, self.datamodule, tell=False, network=network)
        rehearse(make, self.datamodule, device)
        check_monitors(self.trainer, self.trial.objective, spec)

    def run(self, tracker: Tracker, resume: bool) -> Result:
        """Train, test once, and report."""
        if not self.trainer.fast_dev_run:  # pyright: ignore[reportAttributeAccessIssue]
            self.trainer.logger = TrackerLogger(tracker, lambda: self.trial.ledger.forwards)
        tracker.set_tags({**tags(self.config), **content_tags(self.digests, self.data.identified_by)})
        tracker.log_params(flattened(without_command(self.config)))
        tracker.log_artifact(self.directory / CONFIG_FILE)
        for context, dataset in self.data.inputs:
            tracker.log_input(dataset, context)
        self.checkpoints.journal_position = tracker.position
        started = time.perf_counter()
        wanted = self.config["tracking"].get("system_metrics", False)
        with watching(tracker, lambda: self.trial.ledger.forwards, wanted):
            self._train_and_test(resume)
        tracker.set_tags({f"hybridopt.{key}": value for key, value in self.trial.strategy.facts().items()})
        summary = summarise(self.trial, time.perf_counter() - started)
        result = Result(
            str(self.directory),
            summary,
            phases(self.trial),
            self.trial.curve,
            run_id=tracker.run_id,
            review=tracker.url,
            network=self.trial.model,
        )
        tracker.log_metrics(summary, self.trial.ledger.forwards)
        if mark := result.mark:
            tracker.set_tags({f"hybridopt.{mark.tag}": mark.text})
            tracker.set_tags(page_tags(self.directory, mark.sentence))
            log.warning("%s", mark.sentence)
        self._tell_reports(result, tracker)
        if not self.trainer.fast_dev_run:  # pyright: ignore[reportAttributeAccessIssue]
            self._keep(result, tracker)
        return result

    def _tell_reports(self, result: Result, tracker: Tracker) -> None:
        """What a report needs besides: which way metrics are good, and where the phases of a hybrid end."""
        tracker.set_tags({"hybridopt.directions": json.dumps(self.trial.directions, sort_keys=True)})
        if len(result.phases) > 1:
            tracker.set_tags({"hybridopt.phases": json.dumps([phase.name for phase in result.phases])})
            spent = {f"phase/{phase.name}/forwards": phase.forwards for phase in result.phases}
            tracker.log_metrics(spent, self.trial.ledger.forwards)

    def run_worker_rank(self, resume: bool) -> None:
        """Take part as another rank than the first, and report nothing.

        Rank 0 reports failures that are common to all ranks, and closes the tracked run. Lightning kills it as soon as
        another rank fails: so this one waits, and exits silently if rank 0 has failed by itself.
        """
        started = time.time()
        try:
            self._train_and_test(resume)
        except Interrupted:
            return
        except Exception:
            if not appears(self.directory / TRACEBACK_FILE, started):
                raise

    def _train_and_test(self, resume: bool) -> None:
        checkpoint = self.directory / FILE
        found = checkpoint if resume and checkpoint.exists() else None
        status.clear()
        with self.signals.catching(), explaining_training(), self.checkpoints.refusing_others():
            self.trainer.fit(self.trial, datamodule=self.datamodule, ckpt_path=found, weights_only=True)
        if self.config.get("test", True):
            self.trainer.test(self.trial, datamodule=self.datamodule, verbose=False)

    def _keep(self, result: Result, tracker: Tracker) -> None:
        """What outlasts the run: checkpoint, weights, curve, the network as an MLflow model, and the numbers."""
        write_weights(self.trial.model, self.directory / WEIGHTS, self.data.texts)
        if drawable():
            plot_curve(self.trial.curve, self.directory / CURVE_FILE)
        if self.trial.front is not None and self.trial.front.marks:
            write_front(self.trial.front, self.directory)
        write_artifacts(self.trial.strategy, self.directory)
        settings = self.config["tracking"]
        if settings.get("log_model"):
            inputs, _ = as_batch(next(iter(self.datamodule.test_dataloader())))
            sample = trees.mapped(lambda part: part[:2].cpu(), inputs)
            wanted = settings.get("model_format", "class")
            save_model(self.trial.model, sample, self.directory / MODEL, wanted, self.data.texts)
        result.save(tracker.position())
        for path in kept(self.directory):
            (tracker.log_model if path.name == MODEL else tracker.log_artifact)(path)


def _finished(directory: Path, config: Mapping[str, Any]) -> Result:
    """A run that had finished: its result; what the store had not taken yet is sent."""
    result = Result.load(directory)
    result.directory = str(directory)  # it may have been moved
    result.network = partial(rebuilt, config, directory, targets.permitted())
    tracking = config["tracking"]
    try:
        result.undelivered = deliver_leftovers(directory, tracking.get("uri"), tracking.get("patience", PATIENCE))
    except TrackingError as error:
        result.undelivered = undelivered(directory)
        log.warning("%s", error)
    return result
