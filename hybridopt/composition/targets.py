"""What a config may call: plugins by their names, and a raw ``_target_`` only where the user has said so.

Naming a plugin can do no more than installing it has allowed already. A ``_target_`` names any callable of any package,
so that whoever writes a config could run anything; Hydra's own target policy keeps the worst out, and calls itself no
complete boundary. Hence a config that holds one is refused, unless ``instantiate_targets`` is true: then each node with
a ``_target_`` becomes what ``hydra.utils.instantiate`` makes of it, under that policy, from its own arguments alone.
The settings of Hydra itself (launchers, callbacks) are not ours to instantiate, and stay under Hydra's policy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hybridopt.errors import ConfigError

TARGET = "_target_"
SETTING = "instantiate_targets"


def check(config: Mapping[str, Any]) -> None:
    """Refuse a job's config that would call what is no plugin.

    Raises:
        ConfigError: a node has a ``_target_``, and either the setting is off or the node names a plugin too.
    """
    for path, node in nodes(config):
        if not config.get(SETTING, False):
            raise ConfigError(
                f"{path}.{TARGET} is {node[TARGET]!r}, and a config calls nothing but installed plugins: choose one by "
                f"{path}.name, or set {SETTING}=true if you trust this config to run any code."
            )
        if "name" in node and path in config:
            raise ConfigError(
                f"{path} has a {TARGET} ({node[TARGET]!r}) and a name ({node['name']!r}): leave one of them out."
            )


def check_arguments(arguments: list[str]) -> None:
    """Refuse a ``_target_`` that is typed for Hydra itself, which would call it before there is a job.

    Raises:
        ConfigError: there is one, and nobody types that targets may be instantiated.
    """
    if f"{SETTING}=true" in (argument.lstrip("+").lower() for argument in arguments):
        return
    for argument in arguments:
        if TARGET in argument and argument.lstrip("+~").startswith("hydra"):
            raise ConfigError(
                f"{argument} would call what is no plugin: choose Hydra's parts by name, such as hydra/launcher=basic, "
                f"or set {SETTING}=true if you trust it to run any code."
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
