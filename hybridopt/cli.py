"""The console program: Hydra composes the config, the experiment runs it, a table says what came out.

Nothing heavy is imported before a job really runs: help, completion and ``--cfg`` answer at once.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException, ConfigCompositionException
from omegaconf import DictConfig, OmegaConf

from hybridopt import config as schema
from hybridopt import config_source
from hybridopt.errors import ConfigError, HybridoptError, Interrupted, ResumeError

if TYPE_CHECKING:
    from hybridopt.experiment import Result


def main() -> None:
    """The entry point of ``hybridopt`` and ``python -m hybridopt``."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    register()
    _main()


def register() -> None:
    """Make Hydra know our plugins, the typed frame of a job, and where a resumed run lives."""
    schema.register()
    config_source.register()
    OmegaConf.register_new_resolver("run_directory", run_directory, replace=True)


def run_directory(resume: str | None, fresh: str) -> str:
    """The directory of the run to resume, or a fresh one."""
    if resume is None:
        return fresh
    if Path(resume).is_dir():
        return str(Path(resume).resolve())
    if os.sep in resume:
        raise ConfigCompositionException(f"resume={resume}: there is no such directory.")
    from hybridopt.tracking.tracker import find_directory

    try:
        return str(find_directory(resume, os.environ.get("MLFLOW_TRACKING_URI")))
    except HybridoptError as error:
        raise ConfigCompositionException(str(error)) from error


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
    hydra_config = HydraConfig.get()
    directory = Path(hydra_config.runtime.output_dir)
    if config.resume is not None:
        _refuse_other_overrides(hydra_config.overrides.task)
    plain: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    from hybridopt.experiment import run
    from hybridopt.summary import show

    result: Result = run(plain, directory)
    show(result)
    return result.summary.get("final/val/loss")


def _refuse_other_overrides(overrides: list[str]) -> None:
    others = [override for override in overrides if not override.lstrip("+").startswith("resume=")]
    if others:
        raise ConfigError(
            f"A resumed run keeps the config that it was started with: leave out {' '.join(others)}, "
            "or start a new run without resume."
        )
    if len([override for override in overrides if "resume=" in override]) != 1:
        raise ResumeError("Give one run to resume: resume=<directory or MLflow run id>.")
