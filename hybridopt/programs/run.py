"""The console program: Hydra composes the config, the experiment runs it, a table says what came out.

Nothing heavy is imported before a job really runs: help, completion and ``--cfg`` answer at once.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, read_write

from hybridopt import sweep
from hybridopt.composition import compose, targets
from hybridopt.composition.compose import plain_values
from hybridopt.errors import ConfigError, HybridoptError, Interrupted, StorageError, brief
from hybridopt.execution.directory import State, leave_traceback, state
from hybridopt.execution.identity import find_run, fingerprint, read_config, refuse_other_overrides


def main() -> None:
    """The entry point of ``hybridopt`` and ``python -m hybridopt``."""
    overrides = [argument for argument in sys.argv[1:] if is_override(argument)]
    try:
        targets.check_arguments(overrides)
        check_writable(overrides)
    except HybridoptError as refused:
        sys.exit(str(refused))
    register()
    _main()


def check_writable(overrides: Sequence[str]) -> None:
    """Refuse a directory in which no run can be kept, before Hydra stumbles over it.

    Raises:
        StorageError: the current directory cannot be written, and runs go into it.
    """
    elsewhere = ("hydra.run.dir=", "hydra.sweep.dir=", "resume=")
    told = {"--help", "-h", "--cfg", "-c", "--version", "--info", "-i", "--hydra-help", "-sc", "--shell-completion"}
    if told & set(sys.argv) or any(one.startswith(elsewhere) for one in overrides):
        return
    try:
        tempfile.TemporaryFile(dir=".").close()  # root may do anything, but not on every disk
    except OSError as error:
        raise StorageError(
            f"The directory {Path.cwd()}, in which runs are kept, cannot be written ({brief(error)}): change to "
            "another one, or name one by hydra.run.dir=<folder> (hydra.sweep.dir=<folder> with -m)."
        ) from error


def register() -> None:
    """Make Hydra know our plugins, the typed frame of a job, our sweepers, and where a resumed run lives."""
    compose.register()
    sweep.register()
    OmegaConf.register_new_resolver("if_resumed", if_resumed, replace=True)
    OmegaConf.register_new_resolver("or_else", or_else, replace=True)


def if_resumed(resume: str | None, there: str, fresh: str) -> str:
    """For ``conf/config.yaml``: one value for a run that goes on, another for a fresh one (or where none is found).

    Args:
        resume: what the user typed, or None.
        there: "directory" for the directory of the run to go on with; any other text stands for itself.
        fresh: the value otherwise.
    """
    try:
        directory = None if resume is None else find_run(resume)
    except HybridoptError:
        return fresh  # the job will say so, in a sentence
    if directory is None:
        return fresh
    return str(directory) if there == "directory" else there


def or_else(value: str | None, other: str) -> str:
    """For ``conf/config.yaml``: a value, or another one where it is None."""
    return other if value is None else value


@hydra.main(version_base="1.3", config_path="pkg://hybridopt.conf", config_name="config")
def _main(config: DictConfig) -> float | None:
    try:
        return job(config)
    except Interrupted as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(128 + stopped.signal_number)
    except HybridoptError as error:
        raise CompactHydraException(str(error)) from error


def job(config: DictConfig) -> float | None:
    """One composed job.

    Returns:
        The final validation loss, which Hydra's sweepers minimise.
    """
    hydra_config = cast(DictConfig, HydraConfig.get())
    if config.resume is not None:
        refuse_other_overrides(hydra_config.overrides.task)
        find_run(config.resume)
    if any(override.lstrip("+").startswith("sweep.controls=") for override in hydra_config.overrides.task):
        raise ConfigError(
            "sweep.controls adds jobs to a sweep of hydra/sweeper=hybridopt, and this job is in none: add -m, or leave "
            "sweep.controls out."
        )
    plain = plain_values(config)
    directory = Path(hydra_config.runtime.output_dir)
    if hydra_config.mode == RunMode.MULTIRUN:
        return job_of_sweep(plain, directory, hydra_config)
    if config.seeds is not None:
        raise ConfigError(f"seeds={config.seeds} is an axis of a sweep: add -m, or type seed=<number> for one run.")
    targets.check(plain)
    from hybridopt.engine.memory import keep_freed_memory
    from hybridopt.execution.experiment import run
    from hybridopt.execution.table import show

    keep_freed_memory()  # this process is ours

    result = run(plain, directory)
    if result is None:
        return None  # another rank than the first: it has nothing to say
    show(result)
    return result.summary.get("final/val/loss")


def job_of_sweep(plain: dict[str, Any], directory: Path, hydra_config: DictConfig) -> float | None:
    """A job of a sweep: it goes on where it was stopped, and is a child of the sweep's MLflow run.

    Its end is told by the sweep, in one line; what kept it from beginning is left in its directory.

    Returns:
        The metric that the sweep is about.
    """
    from hybridopt.sweep.parent import part_of

    part = part_of(Path(hydra_config.sweep.dir), directory)
    if part.uri is not None and plain["tracking"].get("uri") is None:
        plain["tracking"]["uri"] = part.uri  # the same store, in whatever directory the job runs
    try:
        goes_on = state(directory) == State.HALF_DONE and fingerprint(read_config(directory)) == fingerprint(plain)
        if goes_on:
            plain["resume"] = str(directory)
        targets.check(plain)
        from hybridopt.engine.memory import keep_freed_memory
        from hybridopt.execution.experiment import run

        keep_freed_memory()
        with command_line_of_the_job(hydra_config, goes_on):
            result = run(plain, directory, part.run_id, part.tags)
    except Exception as error:
        if not isinstance(error, Interrupted):
            leave_traceback(directory, error)
        raise
    return None if result is None else result.summary.get(plain["sweep"]["metric"])


@contextmanager
def command_line_of_the_job(hydra_config: DictConfig, goes_on: bool = False) -> Iterator[None]:
    """Inside, ``sys.argv`` asks for this job of a sweep alone: by it, Lightning starts the job's other ranks."""
    whole = sys.argv
    kept = [argument for argument in whole[1:] if argument not in ("-m", "--multirun") and not is_override(argument)]
    place = hydra_config.runtime.output_dir
    sys.argv = [whole[0], *kept, *([f"resume={place}"] if goes_on else hydra_config.overrides.task)]
    with read_write(hydra_config):
        hydra_config.run.dir = place  # Lightning hands it on
    try:
        yield
    finally:
        sys.argv = whole


def is_override(argument: str) -> bool:
    """Whether an argument of the command line is an override, and no flag or a flag's value."""
    return argument.startswith("~") or ("=" in argument and not argument.startswith("-"))
