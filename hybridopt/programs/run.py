"""The console program: Hydra composes the config, the experiment runs it, a table says what came out.

Nothing heavy is imported before a job really runs: help, completion and ``--cfg`` answer at once.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn, cast

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException, HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, read_write
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from hybridopt import sweep
from hybridopt.composition import compose, targets
from hybridopt.composition.compose import plain_values
from hybridopt.composition.sentences import sentence
from hybridopt.errors import ConfigError, HybridoptError, Interrupted, InUse, Taken, brief
from hybridopt.execution.directory import State, leave_traceback, state
from hybridopt.execution.identity import find_run, fingerprint, job_again, read_config, refuse_other_overrides
from hybridopt.programs import version
from hybridopt.programs.folders import (
    check_inside,
    check_no_run,
    check_writable,
    directories,
    found_before,
    hydras,
    leave_nothing,
)
from hybridopt.programs.pipes import ending_with_reader
from hybridopt.programs.startup import runner
from hybridopt.study.sweeper import StudySweeper
from hybridopt.toolbox import status
from hybridopt.toolbox.credentials import hide_in, masked, scrub
from hybridopt.toolbox.orphans import end_with_starter

FULL = "HYDRA_FULL_ERROR"  # Hydra's switch for tracebacks
SENTENCES = "HYBRIDOPT_SENTENCES"  # the switch was set here, and not by the user


@ending_with_reader()
def main() -> None:
    """The entry point of ``hybridopt`` and ``python -m hybridopt``."""
    end_with_starter()  # if this is another rank
    if version.FLAG in sys.argv[1:]:  # Hydra would tell its own
        print(version.text())
        return
    overrides = [argument for argument in sys.argv[1:] if is_override(argument)]
    try:
        targets.check_arguments(sys.argv[1:])
        targets.grant(completing() or overrides)
        sys.argv[1:] = compose.spelled_out(hide_in(sys.argv[1:]))
        check_inside(overrides)
        check_no_run(sys.argv[1:])
        check_writable(overrides)
    except HybridoptError as refused:
        sys.exit(masked(str(refused)))
    mask_logs()
    register()
    found_before.update(directories(overrides))
    if FULL in os.environ:
        _main()
    else:
        _in_sentences()


def completing() -> list[str]:
    """The words of the line that a shell is completing, if it is that which is asked for."""
    asked = any(argument.startswith("query=") for argument in sys.argv[1:])
    return os.environ.get("COMP_LINE", "").split() if asked else []


def _in_sentences() -> None:
    """Run the program; what cannot be composed ends it in a sentence, where Hydra would show a traceback.

    Hydra leaves an error alone where its switch for tracebacks is set, so it is, until the job begins.
    """
    os.environ[FULL] = os.environ[SENTENCES] = "1"
    try:
        _main()
    except (HydraException, OmegaConfBaseException) as error:
        _end(sentence(error))
    except BrokenPipeError:
        raise
    except OSError as error:
        _end(
            f"No run can be kept there ({brief(error)}): name another directory by hydra.run.dir=<folder> "
            "(hydra.sweep.dir=<folder> with -m)."
        )
    except Exception as error:
        if not _is_hydras(error):
            raise
        _end(sentence(error))
    finally:
        if os.environ.pop(SENTENCES, None):
            os.environ.pop(FULL, None)


def _end(sentence: str) -> NoReturn:
    """The program ends, as Hydra ends it, and says why."""
    print(masked(sentence), file=sys.stderr)
    sys.exit(1)


def _is_hydras(error: BaseException) -> bool:
    """Whether Hydra or OmegaConf raised an error by themselves."""
    *_, last = traceback.walk_tb(error.__traceback__)
    return str(last[0].f_globals.get("__name__")).partition(".")[0] in ("hydra", "omegaconf")


def register() -> None:
    """Make Hydra know our plugins, the typed frame of a job, our sweepers, and where a resumed run lives."""
    compose.register()
    sweep.register(study=StudySweeper)
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
    if os.environ.pop(SENTENCES, None):
        os.environ.pop(FULL, None)  # from here on Hydra reports errors as it does, without its own frames
    try:
        return job(config)
    except Interrupted as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(128 + stopped.signal_number)
    except HybridoptError as error:
        scrub(error)
        hydra_config = HydraConfig.get()
        leave_nothing(Path(hydra_config.runtime.output_dir), hydras(hydra_config))
        raise CompactHydraException(str(error)) from error
    except Exception as error:
        scrub(error)
        raise


def mask_logs() -> None:
    """Whatever a library logs, credentials do not reach the screen or the log file in the run's directory."""
    former = logging.getLogRecordFactory()

    def factory(*arguments: Any, **more: Any) -> logging.LogRecord:
        record = former(*arguments, **more)
        with suppress(Exception):  # of arguments that do not fit, which logging itself will tell
            record.msg, record.args = masked(record.getMessage()), ()
        if record.exc_info:
            record.exc_text = masked(logging.Formatter().formatException(cast(Any, record.exc_info)))
        return record

    if former.__module__ != __name__:
        logging.setLogRecordFactory(factory)


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
    if config.rerun is not None:
        plain = job_again(plain, list(hydra_config.overrides.task))
    if config.seeds is not None:
        raise ConfigError(f"seeds={config.seeds} is an axis of a sweep: add -m, or type seed=<number> for one run.")
    targets.check(plain, targets.granted())
    with status.shown():
        status.say("importing torch and Lightning")
        run = runner(plain)
        result = run(plain, directory, more_tags=typed(hydra_config), instantiate_targets=targets.granted())
    if result is None:
        return None  # another rank than the first: it has nothing to say
    from hybridopt.execution.table import show

    show(result)
    return result.summary.get("final/val/loss")


def job_of_sweep(plain: dict[str, Any], directory: Path, hydra_config: DictConfig) -> float | None:
    """A job of a sweep: it goes on where it was stopped, and is a child of the sweep's MLflow run.

    Its end is told by the sweep, in one line; what kept it from beginning is left in its directory.

    Returns:
        The metric that the sweep is about.
    """
    from hybridopt.sweep.parent import Part, part_of

    end_with_starter()  # the process may be a launcher's
    mask_logs()
    ours = hydra_config.sweeper.get(targets.TARGET, "").startswith("hydra_plugins.hybridopt.")
    part = part_of(Path(hydra_config.sweep.dir), directory) if ours else Part()  # a file that ours has just written
    if part.uri is not None and plain["tracking"].get("uri") is None:
        plain["tracking"]["uri"] = part.uri  # the same store, in whatever directory the job runs
    try:
        goes_on = state(directory) == State.HALF_DONE and fingerprint(read_config(directory)) == fingerprint(plain)
        if goes_on:
            plain["resume"] = str(directory)
        targets.check(plain, targets.granted())
        run = runner(plain)
        with command_line_of_the_job(hydra_config, goes_on):
            result = run(plain, directory, part.run_id, {**typed(hydra_config), **part.tags}, targets.granted())
    except Exception as error:
        if not isinstance(error, (Interrupted, InUse, Taken)):  # what another process writes is left alone
            with suppress(OSError):  # such as a disk that is full: then the launcher tells
                leave_traceback(directory, error)
        raise
    return None if result is None else result.summary.get(plain["sweep"]["metric"])


def typed(hydra_config: DictConfig) -> dict[str, str]:
    """The tag that says how to run a job again; of one that goes on, as Hydra has kept what was typed at first."""
    from hybridopt.execution.note import COMMAND, command_line

    overrides, sources = hydra_config.overrides.task, hydra_config.runtime.config_sources
    if any(override.startswith("resume=") for override in overrides):
        kept = Path(hydra_config.runtime.output_dir) / ".hydra"
        try:
            overrides = OmegaConf.load(kept / "overrides.yaml")
            sources = cast(DictConfig, OmegaConf.load(kept / "hydra.yaml")).hydra.runtime.config_sources
        except (OSError, ValueError, YAMLError, OmegaConfBaseException):  # of a run from Python, or of a damaged file
            return {}
    folders = [source.path for source in sources if source.provider == "command-line"]
    return {COMMAND: masked(command_line(overrides, folders))}


@contextmanager
def command_line_of_the_job(hydra_config: DictConfig, goes_on: bool = False) -> Iterator[None]:
    """Inside, ``sys.argv`` asks for this job of a sweep alone: by it, Lightning starts the job's other ranks."""
    whole = sys.argv
    kept = [argument for argument in whole[1:] if argument not in ("-m", "--multirun") and not is_override(argument)]
    place = hydra_config.runtime.output_dir
    sys.argv = [whole[0], *kept, *(_again(place) if goes_on else hydra_config.overrides.task)]
    with read_write(hydra_config):
        hydra_config.run.dir = place  # Lightning hands it on
    try:
        yield
    finally:
        sys.argv = whole


def _again(directory: str) -> list[str]:
    """What is typed to go on with a job, with the permission that it has."""
    return [f"resume={directory}", *([f"{targets.SETTING}=true"] if targets.granted() else [])]


def is_override(argument: str) -> bool:
    """Whether an argument of the command line is an override, and no flag or a flag's value."""
    return argument.startswith("~") or ("=" in argument and not argument.startswith("-"))
