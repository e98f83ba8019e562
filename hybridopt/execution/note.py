"""What the page of a run in MLflow says by itself: the command that runs it again, and what it failed of."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from hybridopt.execution.directory import TRACEBACK_FILE, reason
from hybridopt.tracking.lines import JOURNAL, read_operations

NOTE = "mlflow.note.content"  # MLflow's name for the description that it shows, which is Markdown
COMMAND, FAILURE = "hybridopt.command", "hybridopt.failure"
LONGEST = 500  # characters of a failure; the whole traceback is among the artifacts
OF_THE_SWEEP = ("sweep.", "trainer.enable_progress_bar=false")  # what a job has for being one of many


def command_line(overrides: Iterable[str], config_dirs: Sequence[str] = ()) -> str:
    """What to type to run a job again, quoted for a shell.

    Args:
        overrides: as they were typed, or as the sweep made them.
        config_dirs: the folders of ``--config-dir``.
    """
    kept = [override for override in overrides if not override.lstrip("+").startswith(OF_THE_SWEEP)]
    flags = [part for folder in config_dirs for part in ("--config-dir", folder)]
    return shlex.join(["hybridopt", *flags, *kept])


def page_tags(directory: Path, warning: str = "") -> dict[str, str]:
    """The tags by which the page of the run in ``directory`` says how to run it again, and what is wrong with it.

    Args:
        directory: the run's; of one that has failed, its traceback is there.
        warning: a sentence about a run that has not failed.
    """
    why, command = _failure(directory), _command(directory)
    said = f"**Failed:** `{why}`" if why else warning
    typed = f"```bash\n{command}\n```" if command else ""
    return ({FAILURE: why} if why else {}) | {NOTE: "\n\n".join(filter(None, [said, typed]))}


def without_failure(directory: Path) -> dict[str, str]:
    """The same of a run that goes on after a failure; none where there was none."""
    there = any(FAILURE in tags for tags in _tags(directory))
    return {FAILURE: "none, since it went on"} | page_tags(directory) if there else {}


def _command(directory: Path) -> str:
    """The command that its journal has; empty for a run that was not typed."""
    return next((tags[COMMAND] for tags in _tags(directory) if COMMAND in tags), "")


def _tags(directory: Path) -> Iterable[dict[str, str]]:
    for operation in read_operations(directory / JOURNAL):
        if operation.kind == "tags":
            yield operation.content["values"]


def _failure(directory: Path) -> str:
    """What a run has failed of, in a line that Markdown shows as it is; empty where it has not."""
    if not (directory / TRACEBACK_FILE).exists():
        return ""
    why = reason(directory).replace("`", "'")
    return why if len(why) <= LONGEST else why[: LONGEST - 1] + "…"
