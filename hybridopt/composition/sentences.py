"""What Hydra and OmegaConf raise, in a sentence: what is wrong, what was found, what to type instead."""

from __future__ import annotations

import re
from collections.abc import Iterable

from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from yaml import YAMLError

from hybridopt.errors import HybridoptError, options
from hybridopt.toolbox.extras import LAUNCHERS, remedy

RAISED = (HydraException, OmegaConfBaseException, YAMLError, ValueError, TypeError, AttributeError, OSError)
ASIDE = re.compile(r"(full_key|object_type|reference_type|provider=|See https?://|Config search path|Set the env)")
APPENDED = re.compile(r"To append to your (config|default list) use \+\S*")


def sentence(error: BaseException) -> str:
    """An error of a composition as a sentence; the text of other errors, in one line.

    Args:
        error: one of :data:`RAISED`.
    """
    own = next((cause for cause in chain(error) if isinstance(cause, HybridoptError)), None)
    if own is not None:
        return str(own)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return missing(error)
    for cause in chain(error):
        if isinstance(cause, ConfigAttributeError | ConfigKeyError) and isinstance(cause.parent_node, DictConfig):
            return unknown(cause, cause.parent_node)
    if "Config group override must be" in str(error):
        return "A part of a job is chosen by the name of a config, as in strategy=adam: give it a name."
    outer = told(str(error))
    inner = [told(str(cause)) for cause in list(chain(error))[1:2] if isinstance(cause, OmegaConfBaseException)]
    text = ": ".join(dict.fromkeys(part for part in (outer, *inner) if part)) or type(error).__name__
    key = getattr(error, "full_key", None)
    return f"{key}: {text}." if key and str(key) not in text else f"{text}."


def missing(error: MissingConfigException) -> str:
    """There is no config of this name in its group; what brings it, or the nearest name, and those there are."""
    group, _, name = str(error.missing_cfg_file).rpartition("/")
    if group == "hydra/launcher" and name in LAUNCHERS:
        extra = LAUNCHERS[name]
        return f"{group}={name} needs hydra-{extra}-launcher: type {remedy(extra)}."
    known = [str(option).removeprefix(f"{group}/") for option in error.options or ()]
    return f"There is no {group or 'config'} called {name!r}.{options(known, name)}"


def unknown(error: OmegaConfBaseException, parent: DictConfig) -> str:
    """There is no setting of this name in its group; the nearest name, and those there are."""
    key = str(error.key)
    names = [str(name) for name in parent if name != "hydra"]
    place = str(error.full_key or key)
    if OmegaConf.is_missing(parent, key):
        return f"{place} has no default: give it a value, {place}=<value>."
    return f"There is no setting {place}.{options(names, key)}"


def chain(error: BaseException | None) -> Iterable[BaseException]:
    """An error and what caused it."""
    while error is not None:
        yield error
        error = error.__cause__


def told(text: str) -> str:
    """The lines of a message that a user can do something with, as one."""
    lines = [line.strip() for line in APPENDED.sub("", text).splitlines()]
    return " ".join(line for line in lines if line and not ASIDE.match(line)).rstrip(".: ")
