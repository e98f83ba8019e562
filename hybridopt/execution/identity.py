"""What a run is: its resolved config, and the names and hashes it is found by."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import socket
from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import yaml

from hybridopt.composition import building, checking, registry, renamed
from hybridopt.composition.kinds import PARTS
from hybridopt.composition.targets import TARGET
from hybridopt.errors import ConfigError, ResumeError, brief
from hybridopt.execution.contents import DATA, FILE_OF, PLUGIN_OF, TAG, short_hash
from hybridopt.execution.directory import CONFIG_FILE, DIGESTS_FILE, traces
from hybridopt.execution.hardware import hardware
from hybridopt.toolbox import credentials
from hybridopt.tracking.files import write_atomically

NEEDED = (*PARTS, "budget", "oracle", "seed", "threads", "tracking", "trainer")  # without which a config is none
CHECKSUM = "# sha256: "  # how the last line of a config begins
NOT_IN_FINGERPRINT = ("tracking", "resume", "rerun", "start_over", "instantiate_targets", "sweep", "seeds")
ONCE = ("tracking", "resume", "start_over", "instantiate_targets")  # said by whoever runs a job again, not by the job
NOT_IN_TRAINER = ("enable_progress_bar", "default_root_dir")  # how a run shows itself is no part of what it computes


def read_config(directory: Path) -> dict[str, Any]:
    """The config of the run in a directory, with the names that plugins and settings have now.

    Raises:
        ResumeError: there is no run, or its config is damaged.
    """
    return renamed.current(read_as_begun(directory))


def read_as_begun(directory: Path) -> dict[str, Any]:
    """As :func:`read_config`, with the names that plugins and settings had when the run began."""
    check_holds_run(directory)
    try:
        text = (directory / CONFIG_FILE).read_bytes().decode("utf-8")
        config = yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise _damaged(directory, brief(error)) from error
    missing = [key for key in NEEDED if key not in config] if isinstance(config, dict) else list(NEEDED)
    if missing:
        raise _damaged(directory, f"it lacks {', '.join(missing)}")
    body, found, checksum = text.rpartition(CHECKSUM)
    if found and hashlib.sha256(body.encode()).hexdigest() != checksum.strip():
        raise _damaged(directory, "its text is not that of its checksum")
    return credentials.resolved(config)


def read_job(directory: Path) -> dict[str, Any]:
    """The config of the run in a directory, which is to go on: as :func:`read_config`, and checked as a typed one is.

    Raises:
        ResumeError: there is no run, or its config is damaged, or none of a job.
        PluginError: it names a plugin that is not installed.
    """
    config = read_config(directory)
    try:
        checking.check(config)
    except ConfigError as error:
        raise _damaged(directory, str(error).rstrip(".")) from error
    return config


def job_again(now: Mapping[str, Any], typed: list[str]) -> dict[str, Any]:
    """The config of a new run of the job that ``rerun`` names: the job's own, but for where it is tracked.

    Args:
        now: the config as it was composed; ``rerun`` is the directory of a run, or its MLflow run id.
        typed: the overrides by which it was.

    Raises:
        ConfigError: more was typed, which would have no effect.
        ResumeError: there is no such run, or its config is damaged.
    """
    kept = ("rerun=", "instantiate_targets=", "tracking", "start_over=")
    others = [override for override in typed if not override.lstrip("+").startswith(kept)]
    if others:
        raise ConfigError(
            f"A job that is run again has its own config: leave out {' '.join(others)}, or type a job of your own "
            "without rerun."
        )
    directory = find_run(now["rerun"])
    with as_it_began(directory):
        own = _with_packages(read_job(directory))
    return {**now, **own, **{key: now[key] for key in ONCE if key in now}, "rerun": None}


def as_it_began(directory: Path) -> AbstractContextManager[None]:
    """Inside, a name that several packages claim means the plugin by which the run in a directory was begun."""
    digests = digests_of(directory)
    try:
        config = read_config(directory)
    except ResumeError:  # whoever reads the job will say so
        return registry.kept({})
    found: dict[str, frozenset[str]] = {}
    for place, package in digests.items():
        node = at(config, place.removeprefix(PLUGIN_OF)) if place.startswith(PLUGIN_OF) else None
        name = node.get("name") if isinstance(node, Mapping) else None
        if isinstance(name, str):
            found[name] = found.get(name, frozenset()) | {str(package)}
    return registry.kept(found)


def _with_packages(config: dict[str, Any]) -> dict[str, Any]:
    """A config whose names that several packages claim say which one is meant, where that is not hybridopt."""
    config = copy.deepcopy(config)
    for kind in PARTS:
        for node in list(building.walk(kind, config[kind])):
            if node.plugin is not None and not node.plugin.is_builtin:
                name = registry.of_package(node.kind, node.settings["name"], node.plugin.distribution)
                cast(dict[str, Any], at(config, node.path))["name"] = name
    return config


def at(config: Any, path: str) -> Any:
    """What is at a dotted path of a config; None if there is nothing."""
    for key in path.split("."):
        config = config.get(key) if isinstance(config, Mapping) else None
    return config


def _damaged(directory: Path, why: str) -> ResumeError:
    return ResumeError(
        f"{directory / CONFIG_FILE} is damaged, or was edited since the run began ({why}): put the former one back, or "
        f"begin again by the command that began it and hydra.run.dir={directory} start_over=true."
    )


def check_holds_run(directory: Path) -> None:
    """Refuse a directory without a run.

    Raises:
        ResumeError: there is no run, or it has lost its config.
    """
    if (directory / CONFIG_FILE).exists():
        return
    if traces(directory):
        raise ResumeError(
            f"The run in {directory} has lost its {CONFIG_FILE}: put it back, or begin "
            f"again by the command that began it and hydra.run.dir={directory} start_over=true."
        )
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
    """Keep the resolved config, from which the run can be repeated and resumed; it is whole or not there.

    Secrets are in it as names of variables.
    """
    text = yaml.safe_dump(credentials.as_references(without_command(config)), sort_keys=False, allow_unicode=True)
    write_atomically(directory / CONFIG_FILE, f"{text}{CHECKSUM}{hashlib.sha256(text.encode()).hexdigest()}\n")


def note_digests(directory: Path, digests: Mapping[str, str]) -> None:
    """Keep the digests of what decides the result of the run in ``directory``."""
    write_atomically(directory / DIGESTS_FILE, json.dumps(digests, indent=1, sort_keys=True) + "\n")


def digests_of(directory: Path) -> dict[str, str]:
    """Those digests; none where they were not kept, or cannot be read."""
    try:
        found = json.loads((directory / DIGESTS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def without_command(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config without what was typed to be done once, and says nothing of the run: one that goes on has the same."""
    return {key: value for key, value in config.items() if key not in ("start_over", "rerun")}


def fingerprint(config: Mapping[str, Any]) -> str:
    """A short hash of what a run computes: its config without paths, tracking, and how it shows itself."""
    return short_hash(relevant(config))


def relevant(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a config that decides what a run computes."""
    kept = {key: value for key, value in config.items() if key not in NOT_IN_FINGERPRINT}
    if not kept.get("weights", {}).get("source"):  # as in the configs of before there was such a setting
        kept.pop("weights", None)
    budget = kept.get("budget")
    if isinstance(budget, Mapping) and budget.get("spacing") == "even":  # likewise
        kept["budget"] = {key: value for key, value in budget.items() if key != "spacing"}
    if isinstance(kept.get("trainer"), Mapping):
        kept["trainer"] = {key: value for key, value in kept["trainer"].items() if key not in NOT_IN_TRAINER}
    return kept


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
        f"hybridopt.plugin.{node.path}": _plugin(node) for kind in PARTS for node in building.walk(kind, config[kind])
    }
    where = {"hybridopt.host": socket.gethostname(), "hybridopt.hardware": hardware()}
    where["hybridopt.version"] = version("hybridopt")
    return (
        named
        | plugins
        | where
        | {
            "hybridopt.seed": str(config["seed"]),
            "hybridopt.fingerprint": fingerprint(config),
        }
    )


def _plugin(node: building.Node) -> str:
    """A plugin's name and the version of its package, or what is called in a plugin's place."""
    if node.plugin is None:
        return node.settings[TARGET]
    return f"{node.plugin.distribution}=={node.plugin.version} {node.plugin.name}"


def content_tags(digests: Mapping[str, str], identified_by: str) -> dict[str, str]:
    """What tells a run from others of the same config: its data, its files, and the packages of its plugins.

    Args:
        digests: of what decides its result.
        identified_by: what the digest of the data is of.
    """
    found = {name: digest for name, digest in digests.items() if name.startswith((FILE_OF, PLUGIN_OF))}
    return {
        "hybridopt.dataset.identified_by": identified_by,
        f"hybridopt.{DATA}": digests[DATA],
        TAG: json.dumps(found, sort_keys=True),
    }


def flattened(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted names."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        inner = isinstance(value, Mapping) and value
        flat |= flattened(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": value}
    return flat


def refuse_other_overrides(overrides: list[str]) -> None:
    """Refuse what is typed beside ``resume``, which would have no effect."""
    kept = ("resume=", "instantiate_targets=", "tracking.uri=")  # whom to trust is no part of a run, but said again
    others = [override for override in overrides if not override.lstrip("+").startswith(kept)]
    if others:
        raise ConfigError(
            f"A resumed run keeps the config that it was started with: leave out {' '.join(others)}, "
            "or start a new run without resume."
        )
