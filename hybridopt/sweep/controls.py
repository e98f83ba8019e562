"""Control arms: a hybrid runs together with the same job without one of its parts, at the same budget and seed.

What the arms are is said by the strategy (``Strategy.controls``), whose class is imported for it. An arm is a job like
any other, known by what it computes: where it computes the same as another job, that one stands for both.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.errors import HydraException

from hybridopt.composition import building, registry
from hybridopt.errors import ConfigError, HybridoptError, PluginError, brief, options
from hybridopt.sweep.plan import CONTROLS, Job, Planner, quoted, varied_keys

PART = "strategy=@"  # begins the override that puts a part in the place of the whole
ROLE, NAME, OF, ARMS = (f"hybridopt.{tag}" for tag in ("role", "control", "control.of", "controls"))


def with_controls(planner: Planner, jobs: Sequence[Job], wanted: Any) -> list[Job]:
    """Jobs, each followed by its control arms; what computes the same is there once.

    A hybrid's run gets the tag ``hybridopt.controls`` (JSON: name of the arm -> fingerprint of its job), an arm's
    ``hybridopt.control`` and ``hybridopt.control.of``, and one that is no job of its own ``hybridopt.role=control``.

    Args:
        planner: composes the arms.
        jobs: what the user asked for, each once.
        wanted: ``sweep.controls``: true, false, or the names of some arms.

    Raises:
        ConfigError: there are no such arms, or one cannot be composed.
        PluginError: a strategy cannot say what its arms are.
    """
    names = _names(wanted)
    if names == []:
        return list(jobs)
    declared = [arms_of(job) for job in jobs]
    _check(names, jobs, declared)
    varied = varied_keys([job.overrides for job in jobs])
    own = {job.fingerprint: job for job in jobs}
    found: dict[str, Job] = {}
    for job, arms in zip(jobs, declared, strict=True):
        found[job.fingerprint] = job
        chosen = {name: overrides for name, overrides in arms.items() if names is None or name in names}
        marks = {}
        for name, overrides in chosen.items():
            arm = _arm(planner, job, name, overrides, varied)
            if arm.fingerprint == job.fingerprint:
                continue  # the job is that already, and shows nothing beside itself
            there = own.get(arm.fingerprint) or found.setdefault(arm.fingerprint, arm)
            _add_arm(there, arm)
            marks[name] = arm.fingerprint
        if marks:
            job.tags = job.tags | {ARMS: json.dumps(marks)}
    return list(found.values())


def is_control(job: Job) -> bool:
    """Whether a job runs only since it is the control arm of another one."""
    return job.tags.get(ROLE) == "control"


def arms_of(job: Job) -> dict[str, tuple[str, ...]]:
    """The control arms that the strategy of a job declares: name -> overrides; none where it declares none.

    Raises:
        PluginError: it cannot say what they are.
    """
    settings = job.config.get("strategy", {})
    if "name" not in settings:
        return {}
    strategy, package = None, registry.BUILTIN
    with suppress(PluginError):  # the job will say so, in a sentence
        plugin = registry.meant("strategy", settings["name"])
        strategy, package = plugin.load(), plugin.distribution
    controls = getattr(strategy, "controls", None) if inspect.isclass(strategy) else None
    if controls is None:
        return {}
    try:
        return {
            name: tuple(registry.own_override(override, package) for override in overrides)
            for name, overrides in controls(settings).items()
        }
    except HybridoptError:
        raise
    except Exception as error:
        raise PluginError(
            f"The strategy {settings['name']!r} cannot say what its control arms are ({brief(error)}): leave out "
            f"{CONTROLS}, or mend its method controls."
        ) from error


def _names(wanted: Any) -> list[str] | None:
    """The names of the arms that are asked for; None for all."""
    if wanted is True:
        return None
    if wanted in (False, None):
        return []
    named = [wanted] if isinstance(wanted, str) else wanted
    if isinstance(named, int | float | Mapping) or not all(isinstance(name, str) for name in named):
        raise ConfigError(f"{CONTROLS} must be true, false or a list of names, but is {wanted!r}.")
    return list(named)


def _check(names: list[str] | None, jobs: Sequence[Job], declared: Iterable[Mapping[str, Any]]) -> None:
    """Refuse names that no strategy has, and strategies without arms; jobs that cannot be composed say so themselves.

    Raises:
        ConfigError: there are none, or none of that name.
    """
    there = list(dict.fromkeys(name for arms in declared for name in arms))
    composed = [job for job in jobs if not job.refused]
    if not there and composed:
        strategies = ", ".join(sorted({building.name_of(job.config["strategy"]) for job in composed}))
        raise ConfigError(
            f"No strategy of this sweep has control arms (it has {strategies}): leave out {CONTROLS}, or choose a "
            "hybrid, such as strategy=lottery_ticket."
        )
    for name in names or []:
        if name not in there and there:
            raise ConfigError(f"No strategy of this sweep has a control arm {name!r}.{options(there, name)}")


def _arm(planner: Planner, job: Job, name: str, overrides: Sequence[str], varied: frozenset[str]) -> Job:
    """The job of a control arm.

    Raises:
        ConfigError: its overrides do not fit.
    """
    strategy = building.name_of(job.config["strategy"])
    parts = [override.removeprefix(PART) for override in overrides if override.startswith(PART)]
    others = [override for override in overrides if not override.startswith(PART)]
    said = {"of": strategy, "name": name} | ({"part": parts[-1]} if parts else {})
    own = [f"sweep.arm.{key}={quoted(value)}" for key, value in said.items()]
    replaced = {_key(override) for override in others}
    kept = [override for override in job.overrides if _key(override) not in replaced]
    try:
        arm = planner.job([*kept, *others, *own], varied)
    except HydraException as error:
        raise ConfigError(
            f"The control arm {name!r} of {strategy} cannot be composed ({brief(error)}): name other arms, "
            f"'{CONTROLS}=[<name>,<name>]', or mend controls of that strategy."
        ) from error
    if planner.own_subdir:  # which the user chose by the hybrid's settings
        arm.directory = Path(f"{arm.directory}-" + re.sub(r"[^\w.-]+", "_", name))
    arm.tags = {ROLE: "control", NAME: name, OF: strategy}
    return arm


def _add_arm(there: Job, arm: Job) -> None:
    """Note that a job is this control arm too, beside what else it is."""
    for tag in (NAME, OF):
        said = [*there.tags.get(tag, "").split("; "), arm.tags[tag]]
        there.tags = there.tags | {tag: "; ".join(dict.fromkeys(filter(None, said)))}
    if is_control(there):
        first, *others = there.label.split(" · ")
        there.label = " · ".join([first, *(part for part in others if part in arm.label.split(" · "))])


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")
