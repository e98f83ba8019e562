"""Environments by name, and what a network must know of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Literal

import gymnasium
from gymnasium import spaces
from gymnasium.error import DependencyNotInstalled
from gymnasium.wrappers import FlattenObservation

from hybridopt import ConfigError, DataSpec
from hybridopt.toolbox import ranges
from hybridopt.toolbox.messages import brief

Scaling = Literal["bounds", "none"]


@dataclass(frozen=True)
class EnvironmentSpec(DataSpec):
    """The shape of a control problem, and how to make its environment.

    Args:
        id: gymnasium's id, with its version.
        kwargs: what the environment is made with.
        max_steps: the time limit of an episode, in steps.
        package: what was imported first, to register the environment; None where gymnasium knows it.
        scaling: what is done to observations.
        threshold: the return from which an episode counts as solved; None where gymnasium names none.
    """

    id: str = ""
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    max_steps: int = 0
    package: str | None = None
    scaling: Scaling = "bounds"
    threshold: float | None = None

    def make(self) -> gymnasium.Env:
        """A fresh environment."""
        return make(self.id, self.kwargs, self.max_steps, self.package)


def make(id: str, kwargs: Mapping[str, Any], max_steps: int | None, package: str | None) -> gymnasium.Env:
    """An environment whose observations are arrays.

    Args:
        id: gymnasium's id.
        kwargs: what it is made with.
        max_steps: the time limit of an episode; None for the environment's own.
        package: what to import first.

    Raises:
        ConfigError: there is no such environment, something that it needs is not installed, it does not take these
            kwargs, or it has no time limit.
    """
    if ":" in id:
        module, _, rest = id.partition(":")
        raise ConfigError(
            f"dataset.id={id} would import a package by the way: say so, by dataset.id={rest} dataset.package={module}."
        )
    ranges.at_least("dataset", 1, max_steps=max_steps)
    if package is not None:
        _import(package)
    if (
        id not in gymnasium.registry
    ):  # gymnasium would take the latest version of one without, which is another next year
        raise ConfigError(f"There is no environment called {id!r}.{_similar(id)}")
    environment = _made(id, kwargs, max_steps)
    if environment.spec.max_episode_steps is None:
        raise ConfigError(f"The environment {id} has no time limit: give it one, such as dataset.max_steps=1000.")
    return _as_arrays(environment)


def _made(id: str, kwargs: Mapping[str, Any], max_steps: int | None) -> gymnasium.Env:
    try:
        return gymnasium.make(id, max_episode_steps=max_steps, disable_env_checker=True, **kwargs)
    except (DependencyNotInstalled, ImportError) as error:
        raise ConfigError(f"The environment {id} needs more than gymnasium itself: {brief(error)}.") from error
    except Exception as error:  # an environment may refuse its arguments in any way
        given = ", ".join(f"{key}: {value}" for key, value in kwargs.items())
        reason = brief(error).partition(" was raised from")[0]
        raise ConfigError(f"The environment {id} cannot be made with the kwargs {{{given}}}: {reason}.") from error


def _import(package: str) -> None:
    try:
        import_module(package)
    except ImportError as error:
        raise ConfigError(
            f"dataset.package={package} cannot be imported ({brief(error)}): install what registers the environment, "
            "or leave dataset.package out if gymnasium knows it."
        ) from error


def _similar(id: str) -> str:
    close = get_close_matches(id, gymnasium.registry, n=3, cutoff=0.4)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    return f"{hint} gymnasium.pprint_registry() lists all; what another package brings may need dataset.package=<name>."


def _as_arrays(environment: gymnasium.Env) -> gymnasium.Env:
    """Have discrete and composed observations as one vector each, classes one-hot, by gymnasium's own rules."""
    space, id = environment.observation_space, environment.spec.id
    if isinstance(space, spaces.Box):
        if space.dtype == "uint8" and len(space.shape) > 1:
            raise ConfigError(
                f"{id} observes images of shape {space.shape}, and only vectors are played here: choose an environment "
                "whose state is a vector, or register one whose wrapper makes vectors of the images."
            )
        return environment
    if not space.is_np_flattenable:
        raise ConfigError(
            f"{id} observes a {type(space).__name__} space, which has no fixed size: choose an environment whose "
            "observation can be flattened to a vector."
        )
    return FlattenObservation(environment)
