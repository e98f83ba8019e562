"""Hydra's config loader, with a look at what Hydra would build for itself before it builds anything.

Callbacks, logging handlers, variables of the environment and the shell commands of a launcher are settings under
``hydra``, which any config file may hold. Each composed config passes here, that of each job of a sweep too, in
whatever process, and is refused where such a setting could run code, unless the user has typed
``instantiate_targets=true``. What is looked at is the composed and resolved config: it does not matter by which file,
interpolation or package directive a setting has come.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from hydra._internal import hydra as internals
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from hybridopt.composition.kinds import PARTS
from hybridopt.composition.registry import plugins
from hybridopt.composition.renamed import current
from hybridopt.composition.shipped import ShippedRepository
from hybridopt.composition.targets import SETTING, TARGET, granted, nodes, said
from hybridopt.composition.templates import Templates, own_overrides
from hybridopt.errors import ConfigError
from hybridopt.toolbox import credentials

FACTORIES = {
    "logging.StreamHandler", "logging.FileHandler", "logging.NullHandler", "logging.Formatter",
    "colorlog.ColoredFormatter", "rich.logging.RichHandler",
}  # fmt: skip
STREAMS = {"ext://sys.stdout", "ext://sys.stderr"}
REFERENCES = ("ext://", "cfg://")  # what logging looks up, by importing it
LOG_FILE = r"[\w +-][\w .+-]*\.log"
CALLBACK = re.compile(r"\++trainer\.callbacks\.([\w-]+)[.=]")  # that an override adds
WORD = re.compile(r"[\w.,:+-]*")  # no shell takes it for more than a word, and it is no path


class CheckedLoader(ConfigLoaderImpl):
    """Composes as Hydra does, but refuses what would run code, and what is typed and ambiguous."""

    def __init__(self, config_search_path: ConfigSearchPath):
        super().__init__(config_search_path)
        self.repository = ShippedRepository(config_search_path)
        self._templates = self._new_templates()

    def load_configuration(self, config_name: Any, overrides: list[str], *args: Any, **kwargs: Any) -> DictConfig:
        check_callbacks(overrides)
        return _passed(super().load_configuration(config_name, overrides, *args, **kwargs), overrides)

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        derived = self._templates.derive(master_config, sweep_overrides)
        if derived is None:
            return super().load_sweep_config(master_config, sweep_overrides)
        return _passed(derived, [*own_overrides(master_config), *sweep_overrides])

    def __getstate__(self) -> dict[str, Any]:
        """What goes to the process of a launcher: all but what was composed."""
        return {name: value for name, value in vars(self).items() if name != "_templates"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._templates = self._new_templates()

    def _new_templates(self) -> Templates:
        return Templates(super().load_sweep_config, lambda key: self.get_group_options(key) != [])


def _passed(composed: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """A composed config that runs no code, without the credentials in it.

    Raises:
        ConfigCompositionException: it could run some.
    """
    if not (granted() or said(overrides)):
        try:
            check(composed, overrides)
        except ConfigError as error:
            raise ConfigCompositionException(str(error)) from error
    _name_as_now(composed)
    _hide_credentials(composed)
    return composed


def _name_as_now(composed: DictConfig) -> None:
    """Give plugins and settings that were named as in earlier versions the names of now."""
    parts = {kind: composed[kind] for kind in PARTS if kind in composed}
    given: dict[str, Any] = {
        kind: OmegaConf.to_container(part) for kind, part in parts.items() if OmegaConf.is_dict(part)
    }
    try:
        named = current(given)
    except ConfigError as error:
        raise ConfigCompositionException(str(error)) from error
    for kind, settings in named.items():
        if settings != given[kind]:
            with read_write(composed), open_dict(composed):
                composed[kind] = settings


def _hide_credentials(composed: DictConfig) -> None:
    """Hydra writes what it has composed into the run's directory."""
    try:
        uri = OmegaConf.select(composed, "tracking.uri")
    except OmegaConfBaseException:
        return  # whoever needs it will say so
    if not isinstance(uri, str) or credentials.hide(uri) == uri:
        return
    with read_write(composed):
        composed.tracking.uri = credentials.hide(uri)
        for kind in ("hydra", "task"):
            composed.hydra.overrides[kind] = [credentials.masked(one) for one in _texts(composed.hydra.overrides[kind])]


def _texts(overrides: ListConfig) -> list[str]:
    """Overrides as they were typed, with interpolations as such."""
    return [str(one) for one in cast(list[Any], OmegaConf.to_container(overrides, resolve=False))]


def register() -> None:
    """Have Hydra load configs by this loader."""
    internals.ConfigLoaderImpl = CheckedLoader  # pyright: ignore[reportPrivateImportUsage] - Hydra has no setting for it


def check(composed: DictConfig, overrides: Sequence[str]) -> None:
    """Refuse settings of Hydra that run code.

    Args:
        composed: the config of a program's start or of a job, with its part ``hydra``.
        overrides: by which it was composed.

    Raises:
        ConfigError: there is one.
    """
    own = composed.hydra
    typed = tuple(one.lstrip("+~") for one in overrides)
    if len(own.overrides.hydra) + len(own.overrides.task) > len(
        overrides
    ):  # which are not looked at: one may not resolve
        raise _refused("hydra.overrides", "holds overrides that nobody has typed")
    if own.get("callbacks"):
        raise _refused("hydra.callbacks", "names what Hydra would call")
    _check_parts(own)
    _check_launcher(own, typed)
    _check_environment(own, typed)
    _check_logging(composed, typed)


def check_callbacks(overrides: Sequence[str]) -> None:
    """Refuse a callback that is typed by a name that several packages claim: callbacks are keys, and no config group.

    Raises:
        ConfigCompositionException: there is one.
    """
    for name in dict.fromkeys(match[1] for match in map(CALLBACK.match, overrides) if match):
        claims = [plugin.distribution for plugin in plugins("callback").get(name, ())]
        key = f"trainer.callbacks.{name}"
        if len(claims) > 1 and not any(re.match(rf"\+*{key}(\.name=|=.*\bname:)", one) for one in overrides):
            owners = " and ".join(repr(package) for package in claims)
            raise ConfigCompositionException(
                f"The callback {name!r} is claimed by {owners}: choose one by its setting name, for example "
                f"+{key}.name={claims[0]}:{name}."
            )


def _check_parts(own: DictConfig) -> None:
    """Launcher and sweeper are plugins of Hydra's by name; what is nested in their settings would be built, too."""
    for part in ("launcher", "sweeper"):
        read = _raw if part == "launcher" else _resolved  # interpolations of the launcher's are refused below
        for path, node in nodes(read(own.get(part), f"hydra.{part}")):
            if path:
                raise _refused(f"hydra.{part}.{path}.{TARGET}", f"is {node[TARGET]!r}")
    for key in (own.sweeper or {}).get("params") or {}:
        if str(key).lstrip("+~").startswith(("hydra", SETTING)):
            raise _refused(f"hydra.sweeper.params.{key}", "is no setting of a job")


def _check_launcher(own: DictConfig, typed: Sequence[str]) -> None:
    """Text and lists in the settings of a launcher may be shell commands, and are typed or the launcher's own."""
    name = own.runtime.choices.get("hydra/launcher")
    known = cast(dict[str, Any], ConfigStore.instance().repo["hydra"]).get("launcher", {}).get(f"{name}.yaml")
    default = _raw(known.node, "") if known is not None else {}
    for key, value in _raw(own.launcher, "hydra.launcher").items():
        harmless = value is None or isinstance(value, bool | int | float) or value == default.get(key)
        word = isinstance(value, str) and WORD.fullmatch(value) and key not in ("python", TARGET)
        if not (harmless or word or key == TARGET or _is_typed(f"hydra.launcher.{key}", typed)):
            raise _refused(f"hydra.launcher.{key}", f"is {value!r}, which may be a command")


def _check_environment(own: DictConfig, typed: Sequence[str]) -> None:
    """Variables such as PATH decide what the programs are that a run starts; those that are copied change nothing."""
    for key, value in _resolved(own.job.env_set, "hydra.job.env_set").items():
        if os.environ.get(key) != str(value) and not _is_typed("hydra.job.env_set", typed):
            raise _refused(f"hydra.job.env_set.{key}", "changes the environment of a run")


def _check_logging(composed: DictConfig, typed: Sequence[str]) -> None:
    """Logging builds handlers of any class, looks up any name, and writes into any file."""
    own, place = composed.hydra, f"/{secrets.token_hex(8)}"
    with read_write(own), open_dict(own):
        before = _raw(own.runtime, "")["output_dir"]
        own.runtime.output_dir = place
        try:
            found = {part: _resolved(own.get(part), f"hydra.{part}") for part in ("job_logging", "hydra_logging")}
        finally:
            own.runtime.output_dir = before
    for part, settings in found.items():
        for path, key, value in _leaves(settings, f"hydra.{part}"):
            where = f"{path}.{key}"
            if key in ("()", "class") and value not in FACTORIES:
                raise _refused(where, f"is {value!r}, and not one of {', '.join(sorted(FACTORIES))}")
            if isinstance(value, str) and value.startswith(REFERENCES) and value not in STREAMS:
                raise _refused(where, f"is {value!r}, and not one of {', '.join(sorted(STREAMS))}")
            if key == "style" and value != "%":
                raise _refused(where, f"is {value!r}, and not '%'")
            named = re.fullmatch(f"({place}/)?{LOG_FILE}", str(value))
            if key == "filename" and not named and not _is_typed(where, typed):
                told = str(value).replace(place, "${hydra.runtime.output_dir}")
                raise _refused(where, f"is {told!r}, and not a file <name>.log in the run's directory")


def _leaves(config: Any, path: str) -> Iterator[tuple[str, str, Any]]:
    """Path, key and value of all that is no mapping or list."""
    items = config.items() if isinstance(config, Mapping) else enumerate(config)
    for key, value in items:
        if isinstance(value, Mapping | list):
            yield from _leaves(value, f"{path}.{key}")
        else:
            yield path, str(key), value


def _is_typed(path: str, typed: Sequence[str]) -> bool:
    """Whether an override sets this, or a part of it."""
    return any(one.partition("=")[0] == path or one.startswith(f"{path}.") for one in typed)


def _raw(node: Any, path: str) -> dict[str, Any]:
    if node is None:
        return {}
    found = OmegaConf.to_container(node if OmegaConf.is_config(node) else OmegaConf.create(node), resolve=False)
    if not isinstance(found, dict):
        raise _refused(path, f"is {found!r}")
    return cast(dict[str, Any], found)


def _resolved(node: Any, path: str) -> Any:
    if node is None:
        return {}
    try:
        return OmegaConf.to_container(node, resolve=True)
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        raise _refused(path, f"cannot be resolved before a job begins ({reason})") from error


def _refused(path: str, found: str) -> ConfigError:
    return ConfigError(
        f"{path} {found}: leave it out, or type {SETTING}=true on the command line if you trust this config to run any "
        "code."
    )
