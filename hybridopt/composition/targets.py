"""What a config may call: plugins by their names, and a raw ``_target_`` only where the user has said so.

Naming a plugin can do no more than installing it has allowed already. A ``_target_`` names any callable of any package,
so that whoever writes a config could run anything; Hydra's own target policy keeps the worst out, and calls itself no
complete boundary. Hence a config that holds one is refused, unless the user types ``instantiate_targets=true``: then
each node with a ``_target_`` becomes what ``hydra.utils.instantiate`` makes of it, under that policy, from its own
arguments alone. What a config says of that setting itself is not read: no file, preset or directory can allow itself
anything. The settings of Hydra itself (launchers, callbacks) are checked in :mod:`hybridopt.composition.loader`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from hybridopt.errors import ConfigError

TARGET = "_target_"
SETTING = "instantiate_targets"
VARIABLE = "HYBRIDOPT_INSTANTIATE_TARGETS"  # for the processes of a program's jobs; the program itself never reads it
RERUN = "--experimental-rerun"  # of Hydra: it unpickles a file


def said(arguments: Sequence[str]) -> bool:
    """Whether somebody types that targets may be instantiated; of several such arguments the last one counts."""
    typed = [one.partition("=")[2] for one in arguments if is_permission(one)]
    return bool(typed) and typed[-1].strip().lower() == "true"


def is_permission(argument: str) -> bool:
    """Whether an argument is about this permission."""
    return argument.lstrip("+").partition("=")[0] == SETTING


def grant(arguments: Sequence[str]) -> None:
    """Pass on to this program's jobs, wherever they run, what its own command line says, and nothing else."""
    os.environ[VARIABLE] = str(said(arguments)).lower()


def granted() -> bool:
    """Whether the command line of the program that this process works for has said so."""
    return os.environ.get(VARIABLE) == "true"


_permitted: ContextVar[bool | None] = ContextVar("permitted", default=None)  # inside of a call that says so


@contextmanager
def permitting(allowed: bool) -> Iterator[None]:
    """Inside, modules of the user's own may be imported, or not, whatever the command line of the program has said."""
    token = _permitted.set(allowed)
    try:
        yield
    finally:
        _permitted.reset(token)


def permitted() -> bool:
    """Whether modules of the user's own may be imported now."""
    inside = _permitted.get()
    return granted() if inside is None else inside


def check(config: Mapping[str, Any], allowed: bool) -> None:
    """Refuse a job's config that would call what is no plugin.

    Args:
        config: plain values.
        allowed: whether the user has typed that it may.

    Raises:
        ConfigError: a node has a ``_target_``, and either nobody has allowed it or the node names a plugin too.
    """
    for path, node in nodes(config):
        if not allowed:
            raise ConfigError(
                f"{path}.{TARGET} is {node[TARGET]!r}, and a config calls nothing but installed plugins: choose one by "
                f"{path}.name, or type {SETTING}=true on the command line if you trust this config to run any code."
            )
        if "name" in node and path in config:
            raise ConfigError(
                f"{path} has a {TARGET} ({node[TARGET]!r}) and a name ({node['name']!r}): leave one of them out."
            )


def check_arguments(arguments: Sequence[str]) -> None:
    """Refuse what is typed for Hydra itself and would run code before there is a job.

    Raises:
        ConfigError: there is such an argument, and nobody types that targets may be instantiated.
    """
    if said(arguments):
        return
    for argument in arguments:
        if TARGET in argument and argument.lstrip("+~").startswith("hydra"):
            raise ConfigError(
                f"{argument} would call what is no plugin: choose Hydra's parts by name, such as hydra/launcher=basic, "
                f"or set {SETTING}=true if you trust it to run any code."
            )
        if argument.startswith(RERUN[:6]) and RERUN.startswith(argument.partition("=")[0]):
            raise ConfigError(
                f"{RERUN} unpickles a file, which may run any code: type resume=<directory>, or add {SETTING}=true if "
                "you trust that file."
            )


def nodes(config: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The nodes with a ``_target_``, each with its dotted path."""
    if isinstance(config, Mapping):
        if TARGET in config:
            yield path, config
        items = list(config.items())
    else:
        items = list(enumerate(config)) if isinstance(config, list) else []
    for key, value in items:
        yield from nodes(value, f"{path}.{key}" if path else str(key))


def instantiate(config: Any) -> Any:
    """Plain values with each node that has a ``_target_`` replaced by what it makes.

    Raises:
        ConfigError: the target cannot be found, Hydra's policy forbids it, or it refuses its arguments.
    """
    if isinstance(config, Mapping):
        if TARGET in config:
            return _call(config)
        return {key: instantiate(value) for key, value in config.items()}
    return [instantiate(value) for value in config] if isinstance(config, list) else config


def _call(node: Mapping[str, Any]) -> Any:
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate as call

    try:
        return call(dict(node), _convert_="all")
    except InstantiationException as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise ConfigError(f"{TARGET}={node[TARGET]} cannot be instantiated: {reason}.") from error
