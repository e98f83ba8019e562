"""What a run is: its resolved config, and the names and hashes it is found by."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from hybridopt.composition import building, schema
from hybridopt.composition.kinds import PARTS
from hybridopt.errors import ConfigError, ResumeError
from hybridopt.execution.directory import CONFIG_FILE
from hybridopt.tracking.checked import read_checked
from hybridopt.tracking.provenance import own_version

NOT_IN_FINGERPRINT = ("tracking", "resume", "instantiate_targets", "sweep", "seeds")
NOT_IN_TRAINER = ("enable_progress_bar", "default_root_dir")  # how a run shows itself is no part of what it computes


def read_config(directory: Path) -> dict[str, Any]:
    """The config of the run in a directory.

    Raises:
        ResumeError: there is no run, or its config is damaged.
    """
    check_holds_run(directory)
    remedy = "put back a copy of it (MLflow keeps one among the run's artifacts), or start a new run without resume"
    return read_checked(directory / CONFIG_FILE, _kept_config, remedy)


def _kept_config(path: Path) -> dict[str, Any]:
    return schema.check(yaml.safe_load(path.read_bytes()))


def check_holds_run(directory: Path) -> None:
    """Refuse a directory without a run.

    Raises:
        ResumeError: there is no run.
    """
    if not (directory / CONFIG_FILE).exists():
        raise ResumeError(
            f"There is no run to resume in {directory}: type resume=<the directory of a run, or its MLflow run id>."
        )


def find_run(resume: str) -> Path:
    """The directory of the run to go on with.

    Args:
        resume: that directory, or the MLflow run id.

    Raises:
        ResumeError: there is no such run.
    """
    directory = Path(resume)
    if not directory.is_dir() and os.sep not in resume:
        from hybridopt.tracking.identity import find_directory

        directory = find_directory(resume, os.environ.get("MLFLOW_TRACKING_URI"))
    check_holds_run(directory)
    return directory.resolve()


def write_config(config: Mapping[str, Any], directory: Path) -> None:
    """Keep the resolved config, from which the run can be repeated and resumed."""
    directory.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
    (directory / CONFIG_FILE).write_text(text, encoding="utf-8")


def fingerprint(config: Mapping[str, Any]) -> str:
    """A short hash of what a run computes: its config without paths, tracking, and how it shows itself."""
    relevant = {key: value for key, value in config.items() if key not in NOT_IN_FINGERPRINT}
    if isinstance(relevant.get("trainer"), Mapping):
        relevant["trainer"] = {key: value for key, value in relevant["trainer"].items() if key not in NOT_IN_TRAINER}
    return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()[:16]


def run_name(config: Mapping[str, Any]) -> str:
    """How the run is listed: strategy, data set, seed; a control arm by the strategy that it controls and its name."""
    strategy, dataset = (building.name_of(config[kind]) for kind in ("strategy", "dataset"))
    arm = config.get("sweep", {}).get("arm", {})
    listed = f"{arm['of']} {arm['name']}" if arm.get("name") else strategy
    return " · ".join([listed, dataset, f"seed {config['seed']}"])


def tags(config: Mapping[str, Any]) -> dict[str, str]:
    """What a run can be searched by."""
    named = {f"hybridopt.{kind}": building.name_of(config[kind]) for kind in PARTS}
    plugins = {
        f"hybridopt.plugin.{path}": where
        for kind in PARTS
        for path, where in building.provenances(kind, config[kind]).items()
    }
    where = {"hybridopt.host": socket.gethostname(), "hybridopt.version": version("hybridopt")}
    return (
        named
        | plugins
        | where
        | {
            "hybridopt.seed": str(config["seed"]),
            "hybridopt.fingerprint": fingerprint(config),
        }
    )


def flattened(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted names."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        inner = isinstance(value, Mapping) and value
        flat |= flattened(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": value}
    return flat


def code_version(config: Mapping[str, Any]) -> str:
    """By which code a run is computed: hybridopt (with its commit where it runs from a repository), torch, plugins."""
    packages = {where.split(" ")[0] for kind in PARTS for where in building.provenances(kind, config[kind]).values()}
    others = sorted(package for package in packages if not package.startswith("hybridopt=="))
    own = f"hybridopt=={version('hybridopt')}"
    commit = own_version()
    return ", ".join([f"{own} ({commit})" if commit else own, f"torch=={version('torch')}", *others])


def refuse_other_overrides(overrides: list[str]) -> None:
    """Refuse what is typed beside ``resume``, which would have no effect."""
    others = [override for override in overrides if not override.lstrip("+").startswith("resume=")]
    if others:
        raise ConfigError(
            f"A resumed run keeps the config that it was started with: leave out {' '.join(others)}, "
            "or start a new run without resume."
        )
