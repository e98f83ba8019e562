"""What is asked of every plugin, of whatever kind."""

from __future__ import annotations

from typing import Any, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hybridopt.composition.config_source import config_of
from hybridopt.composition.describe import REQUIRED
from hybridopt.composition.registry import Plugin
from hybridopt.errors import HybridoptError
from hybridopt.testing.kit import CheckFailure, check, fail_if
from hybridopt.testing.plugins import KINDS, variants
from hybridopt.testing.runs import difference


@check(*KINDS)
def has_a_summary(plugin: Plugin) -> None:
    """The docstring's first line, by which it is listed, is there, and fits on a line."""
    summary = plugin.describe().summary
    fail_if(not summary, "it has no docstring, whose first line lists it.")
    fail_if(len(summary) > 120, f"the first line of its docstring has {len(summary)} characters: 120 are the most.")


@check(*KINDS)
def config_survives_yaml(plugin: Plugin) -> None:
    """Its settings are typed and plain: written as YAML and read again, as a run's config is, they are the same."""
    parameters = plugin.describe().parameters
    default = {parameter.name: parameter.default for parameter in parameters if parameter.default is not REQUIRED}
    for what, settings in variants(plugin).items():
        config = {"name": plugin.name} | plain(default | settings)
        found = through_yaml(plugin, settings)
        place = difference(config, found)
        fail_if(place, f"with {what} its config is another one after it went through YAML: {place} differs.")


def through_yaml(plugin: Plugin, settings: dict[str, Any]) -> dict[str, Any]:
    """The whole config that these settings make, with the defaults and types of the signature."""
    try:
        config = OmegaConf.merge(OmegaConf.structured(config_of(plugin, plugin.name)), settings)
        written = OmegaConf.create(OmegaConf.to_yaml(config))
        read = cast(dict[str, Any], OmegaConf.to_container(written, throw_on_missing=True))
    except (OmegaConfBaseException, HybridoptError, TypeError, ValueError) as error:
        said = str(error).splitlines()[0]
        raise CheckFailure(f"its settings {settings} do not fit the types of its signature ({said}).") from error
    return {key: value for key, value in read.items() if key != "defaults"}  # Hydra's list of nested configs


def plain(value: Any) -> Any:
    """Tuples as the lists that YAML makes of them."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


@check(*KINDS)
def search_space_is_of_its_settings(plugin: Plugin) -> None:
    """What it declares worth tuning are settings of its own, with values in Hydra's grammar that suit their types."""
    space = getattr(plugin.load(), "search_space", {})
    known = {parameter.name for parameter in plugin.describe().parameters}
    strange = sorted(space.keys() - known)
    fail_if(strange, f"its search_space has {', '.join(strange)}, which is no setting of it.")
    for key, text in space.items():
        fail_if(not swept(f"{key}={text}"), f"its search_space has {key}={text!r}, which sweeps nothing.")


def swept(override: str) -> bool:
    """Whether an override sweeps, by Hydra's grammar."""
    parsed = parse(override)
    return parsed is not None and parsed.is_sweep_override()


def parse(override: str) -> Override | None:
    """An override by Hydra's grammar; None where it is none."""
    try:
        return OverridesParser.create().parse_override(override)
    except HydraException:
        return None
