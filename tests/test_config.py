"""Configs compose: the presets, every installed plugin, and the types that signatures declare."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from fake_packages import install, on_path
from hydra.core.object_type import ObjectType
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue

from hybridopt import conf
from hybridopt.composition import building, registry
from hybridopt.composition.compose import compose
from hybridopt.composition.config_source import EntryPointConfigSource, kind_of
from hybridopt.composition.describe import REQUIRED, Parameter, from_object, read
from hybridopt.composition.kinds import CONFIGURED, PARTS
from hybridopt.composition.source import Unreadable
from hybridopt.core.spec import DataSpec
from hybridopt.errors import ConfigError

CONF = Path(conf.__file__).parent
PRESETS = sorted(str(path.relative_to(CONF).with_suffix("")) for path in CONF.rglob("*.yaml"))
INSTALLED = [(kind, name) for kind in CONFIGURED for name in registry.names(kind)]
SETTINGS = [
    (kind, name, parameter)
    for kind, name in INSTALLED
    for parameter in registry.find(kind, name).describe().parameters
    if parameter.nested
]


def job(*overrides: str) -> DictConfig:
    """The config of a job, composed as in a script or notebook of a user's."""
    return compose(*overrides)


def plain(value: Any) -> Any:
    """Lists and dicts, with interpolations as they are written."""
    return OmegaConf.to_container(value, resolve=False) if OmegaConf.is_config(value) else value


# -- presets ----------------------------------------------------------------------------------------------------------


def contains(whole: Any, part: Any) -> bool:
    """Whether every setting of a preset is in the config, with the preset's value."""
    if isinstance(part, Mapping):
        return all(key in whole and contains(whole[key], value) for key, value in part.items())
    return whole == part


def plugins_chosen(defaults: list[Any]) -> Iterator[tuple[str, str]]:
    """Where a preset's defaults list puts which plugin: dotted path, name."""
    for entry in defaults:
        for key, name in entry.items() if isinstance(entry, Mapping) else ():
            group, _, package = key.removeprefix("override ").removeprefix("/").partition("@")
            if kind_of(group):
                yield package or group.replace("/", "."), name


@pytest.mark.parametrize("preset", PRESETS)
def test_preset_composes_to_what_it_says(preset: str) -> None:
    group, option = preset.split("/", 1) if "/" in preset else ("", preset)
    said = plain(OmegaConf.load(CONF / f"{preset}.yaml"))
    config = job(*([f"{group}={option}"] if group else []))
    is_global = not group or "@package _global_" in (CONF / f"{preset}.yaml").read_text().splitlines()[0]
    place = plain(config if is_global else config[group])
    assert contains(place, {key: value for key, value in said.items() if key not in ("defaults", "hydra")})
    for path, name in plugins_chosen(said.get("defaults", [])):
        assert OmegaConf.select(config, path).name == name
    assert not OmegaConf.missing_keys(config)


def test_the_frame_is_typed() -> None:
    with pytest.raises(ConfigError, match=r"seed=soon"):
        job("seed=soon")
    with pytest.raises(ConfigError, match=r"budget\.forwardz"):
        job("budget.forwardz=3")
    assert job("budget.forwards=3").budget.forwards == 3.0


# -- installed plugins ------------------------------------------------------------------------------------------------


def composed_default(parameter: Parameter) -> Any:
    """What a config says of a plain setting that nobody has touched."""
    default = parameter.default
    return "???" if default is REQUIRED else list(default) if isinstance(default, tuple) else default


def chosen(kind: str, name: str) -> DictConfig:
    """A plugin's config in a job: as a part of it, or else in the first place that takes some of its kind."""
    if kind in PARTS:
        return job(f"{kind}={name}")[kind]
    outer, user, parameter = next(setting for setting in SETTINGS if setting[2].nested == kind and setting[2].many)
    where = f"{outer}.{parameter.name}.first"
    return OmegaConf.select(job(f"{outer}={user}", f"+{kind}@{where}={name}"), where)


@pytest.mark.parametrize(("kind", "name"), INSTALLED)
def test_plugin_composes_to_its_signature(kind: str, name: str) -> None:
    parameters = registry.find(kind, name).describe().parameters
    config = plain(chosen(kind, name))
    assert config.keys() == {"name"} | {parameter.name for parameter in parameters}
    assert config["name"] == name
    for parameter in parameters:
        if parameter.nested is None:
            assert config[parameter.name] == composed_default(parameter)


@pytest.mark.parametrize(("kind", "name", "parameter"), SETTINGS, ids=lambda value: getattr(value, "name", value))
def test_nested_group_offers_every_plugin_of_its_kind(kind: str, name: str, parameter: Parameter) -> None:
    """The group lists them all; that a listed one composes where the group is used is seen by the last of them."""
    where = f"{kind}.{parameter.name}.first" if parameter.many else f"{kind}.{parameter.name}"
    inside = (
        kind_of(f"{kind}/{parameter.name}") == parameter.nested
    )  # its name tells what it is, as strategy/encoding's
    group = f"{kind}/{parameter.name}" if inside else parameter.nested
    offered = registry.names(parameter.nested)
    assert EntryPointConfigSource("entrypoints", "entrypoints://").list(group, ObjectType.CONFIG) == offered
    chosen = f"+{group}@{where}" if parameter.many else group if inside else f"{group}@{where}"
    config = job(f"{kind}={name}", f"{chosen}={offered[-1]}")
    assert OmegaConf.select(config, where).name == offered[-1]


@pytest.mark.parametrize(("kind", "name", "parameter"), SETTINGS, ids=lambda value: getattr(value, "name", value))
def test_nested_plugin_is_the_preset_unless_chosen(kind: str, name: str, parameter: Parameter) -> None:
    value = plain(job(f"{kind}={name}")[kind])[parameter.name]
    if parameter.many:
        assert value == {}
    elif parameter.preset is not None:
        assert value["name"] == parameter.preset
    else:
        assert value == composed_default(parameter)


READ_AND_IMPORT = """
import json
from hybridopt.composition import describe
from hybridopt.composition import building, registry

def read(plugin):
    try:
        return describe._from_source(plugin.entry_point.module, plugin.entry_point.attr)
    except describe.Unreadable:
        return None

plugins = [plugin for kind in registry.GROUPS for claims in registry.plugins(kind).values() for plugin in claims]
found = [read(plugin) for plugin in plugins]  # all of them before the first import: what is imported is not read
imported = [describe.from_object(plugin.load()) for plugin in plugins]
print(json.dumps({
    f"{plugin.kind} {plugin.name} {plugin.distribution}": [a == b, a and repr(a), repr(b)]
    for plugin, a, b in zip(plugins, found, imported, strict=True)
}))
"""


@pytest.fixture(scope="module")
def descriptions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """Plugin -> whether both descriptions agree, the one that was read, the one of the imported object."""
    done = subprocess.run(
        [sys.executable, "-c", READ_AND_IMPORT],
        cwd=tmp_path_factory.mktemp("descriptions"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "plugin",
    [
        f"{kind} {name} {plugin.distribution}"
        for kind in registry.GROUPS
        for name, claims in registry.plugins(kind).items()
        for plugin in claims
    ],
)
def test_reading_a_plugin_says_what_importing_it_says(plugin: str, descriptions: dict[str, list[Any]]) -> None:
    agree, read, imported = descriptions[plugin]
    assert read is None or agree, f"read:     {read}\nimported: {imported}"


# -- types ------------------------------------------------------------------------------------------------------------

IMPORTS = """
from __future__ import annotations
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, TypeAlias, Union
from torch import nn
from hybridopt.core.encoding import Encoding
from hybridopt.core.objective import Objective
from hybridopt.core.search import Search
from hybridopt.core.strategy import Strategy
from hybridopt.toolbox.schedule import Schedule
import hybridopt.toolbox.schedule as schedules
import hybridopt

Sizes = list[int]
Mode: TypeAlias = Literal["fast", "slow"]
"""
WIDGET = """
def widget(
    rate: float,
    encoding: Annotated[Encoding, "direct"],
    count: int = 3,
    mode: Literal["fast", "slow"] = "fast",
    limit: int | None = None,
    flag: bool = False,
    sizes: list[int] = [1, 2],
    betas: tuple[float, float] = (0.9, 0.99),
    weights: dict[str, float] = {},
    objective: Objective | None = None,
    parts: dict[str, Encoding] = {},
):
    '''A widget.'''
    return locals()
"""


@pytest.fixture(params=["read", "imported"])
def widget(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    """A model plugin with a setting of each type; its signature is read from the source, or from the object."""
    install(tmp_path, "acme", IMPORTS + WIDGET, model={"widget": "widget"})
    with on_path(tmp_path):
        if request.param == "imported":
            registry.find("model", "widget").load()
        yield


def built(*overrides: str) -> dict[str, Any]:
    """The arguments that arrive at the widget."""
    config = OmegaConf.to_container(job("model=widget", *overrides).model, resolve=True, throw_on_missing=True)
    return building.build("model", config)


@pytest.mark.usefixtures("widget")
@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("model.rate=1", 1.0),
        ("model.count=-2", -2),
        ("model.mode=slow", "slow"),
        ("model.limit=7", 7),
        ("model.limit=null", None),
        ("model.flag=yes", True),
        ("model.sizes=[]", []),
        ("model.sizes=[4,5,6]", [4, 5, 6]),
        ("model.betas=[0.5,1]", [0.5, 1.0]),
        ("+model.weights={a: 2}", {"a": 2.0}),
        ("+model.weights.b=3", {"b": 3.0}),
    ],
)
def test_good_values_arrive_typed(setting: str, value: Any) -> None:
    arrived = built("model.rate=0.5", setting)[setting.partition("=")[0].split(".")[1]]
    assert (list(arrived) if isinstance(arrived, tuple) else arrived) == value
    assert type(arrived) is type(value) or isinstance(value, list)


@pytest.mark.usefixtures("widget")
@pytest.mark.parametrize(
    "setting",
    [
        "model.rate=fast",
        "model.rate=null",
        "model.count=1.5",
        "model.limit=many",
        "model.flag=perhaps",
        "model.sizes=[a]",
        "model.sizes=3",
        "model.betas=[a,1]",
        "+model.weights={a: b}",
        "model.raet=1",
    ],
)
def test_bad_values_are_refused_when_the_job_is_composed(setting: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(setting.lstrip("+").partition("=")[0])):
        job("model=widget", setting)


@pytest.mark.usefixtures("widget")
@pytest.mark.parametrize("value", ["quick", "3", "null"])
def test_a_value_that_is_no_choice_is_refused_before_the_plugin_is_built(value: str) -> None:
    with pytest.raises(ConfigError, match=r"model\.mode"):
        built("model.rate=0.5", f"model.mode={value}")


@pytest.mark.usefixtures("widget")
def test_the_choices_are_named() -> None:
    with pytest.raises(ConfigError, match=r"model\.mode must be one of fast, slow, but is 'quick'\."):
        built("model.rate=0.5", "model.mode=quick")


@pytest.mark.usefixtures("widget")
def test_a_required_setting_is_missing_until_it_is_given() -> None:
    assert OmegaConf.is_missing(job("model=widget").model, "rate")
    with pytest.raises(MissingMandatoryValue, match="rate"):
        built()


@pytest.mark.usefixtures("widget")
def test_nested_plugins_arrive_built() -> None:
    arrived = built("model.rate=1", "+model/encoding@model.parts.one=supermask")
    assert type(arrived["encoding"]).__name__ == "Direct"
    assert arrived["objective"] is None
    assert [type(part).__name__ for part in arrived["parts"].values()] == ["Supermask"]


@pytest.mark.usefixtures("widget")
@pytest.mark.parametrize("choice", ["encoding=subspace", "objective=hinge"], ids=["preset", "optional"])
def test_nested_plugins_are_chosen_by_group(choice: str) -> None:
    setting, _, name = choice.partition("=")
    assert job("model=widget", f"model/{choice}").model[setting].name == name


PLAIN = [
    "a",
    "a: int",
    "a: int = 1",
    "a: float = -1e-3",
    "a: str | None = None",
    "a: None | int = None",
    "a: Optional[int] = None",
    "a: Union[int, str] = 1",
    "a: int | float | None = None",
    "a: int | list[int] = 1",
    "a: Any = None",
    "a: Path",
    "a: Path | None = None",
    "a: object = 3",
    "a: list = []",
    "a: list[str] = []",
    "a: list[Path] = []",
    "a: list[list[int]] = []",
    "a: list[Literal['x', 'y']] = ['x']",
    "a: tuple[int, int] = (1, 2)",
    "a: tuple[int, str] = (1, 'x')",
    "a: tuple[int, ...] = ()",
    "a: dict[str, int] = {}",
    "a: Mapping[str, float] = {}",
    "a: dict[str, Any] | None = None",
    "a: dict[str, list[int]] = {}",
    "a: Literal['x'] = 'x'",
    "a: Literal['x', 'y'] | None = None",
    "a: Literal['x', 2] = 2",
    "a: Literal['auto'] | int = 'auto'",
    "a: 'Literal[1, 2]' = 1",
    "a: Schedule = 'cosine'",
    "a: Schedule | None = None",
    "a: schedules.Schedule = 'linear'",
    "a: list[Schedule] = []",
    "a: Sizes = [1]",
    "a: Mode = 'fast'",
    "a: Annotated[int, 'note'] = 2",
    "spec, a: int = 1",
    "*, a: int = 1",
    "a: int = 1, **others",
    "a: int = 1, /",
    "a: int = 60 * 60",
]
NESTED = [
    "a: Strategy",
    "a: Search",
    "a: Encoding | None = None",
    "a: None | Encoding = None",
    "a: Optional[Encoding] = None",
    "a: nn.Module",
    "a: hybridopt.Encoding",
    "a: hybridopt.Hybrid | None = None",
    "a: Objective",
    "a: Annotated[Strategy, 'adam']",
    "a: Annotated[Strategy | None, 'adam'] = None",
    "a: dict[str, Strategy]",
    "a: Mapping[str, Encoding] = {}",
]
SHAPES = {
    "function": "def plugin({form}):\n    '''First line.\n\n    More.\n    '''\n",
    "class": "class Plugin:\n    '''First line.'''\n    def __init__(self, {form}):\n        pass\nplugin = Plugin\n",
    "inherited": "class Base:\n    def __init__(self, {form}): ...\n\nclass plugin(Base):\n    '''First line.'''\n",
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("form", [*PLAIN, *NESTED])
def test_reading_a_signature_says_what_importing_it_says(form: str, shape: str, tmp_path: Path) -> None:
    attribute = "Plugin" if shape == "class" else "plugin"
    install(tmp_path, "acme", IMPORTS + SHAPES[shape].format(form=form), model={"form": attribute})
    with on_path(tmp_path):
        plugin = registry.find("model", "form")
        assert plugin.describe() == from_object(plugin.load())


ELSEWHERE = """
import json, sys
from hybridopt.composition import registry

described = registry.find("model", "elsewhere").describe()
print(json.dumps([[repr(one) for one in described.parameters], sorted(sys.modules)]))
"""


def test_a_type_may_be_defined_elsewhere_and_nothing_is_imported(tmp_path: Path) -> None:
    source = (
        "import torch\n"
        "from typing import Literal\n"
        "from hybridopt.toolbox.gradient import Schedule as Form\n"  # itself an import there
        "from {module}_types import Mode, Strategy as Trained\n"
        "def make(schedule: Form = 'cosine', mode: Mode | None = None, one: Trained | None = None): ...\n"
        "def written(schedule: Literal['constant', 'linear', 'cosine', 'exponential'] = 'cosine',\n"
        "            mode: Literal['fast', 'slow'] | None = None, one: 'Strategy | None' = None): ...\n"
        "from hybridopt import Strategy\n"
    )
    module = install(tmp_path, "acme", "", model={"elsewhere": "make", "written": "written"})
    (tmp_path / f"{module}.py").write_text(source.format(module=module))
    types = (
        "from typing import Literal\nimport hybridopt\nStrategy = hybridopt.Strategy\nMode = Literal['fast', 'slow']\n"
    )
    (tmp_path / f"{module}_types.py").write_text(types)
    told = [
        json.loads(
            subprocess.run(
                [sys.executable, "-c", ELSEWHERE.replace('"elsewhere"', f'"{name}"')],
                env=os.environ | {"PYTHONPATH": str(tmp_path)},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for name in ("elsewhere", "written")
    ]
    assert told[0][0] == told[1][0]
    assert len(told[0][0]) == 3
    assert "choices=('fast', 'slow', None)" in told[0][0][1]
    assert "nested='strategy'" in told[0][0][2]
    assert not {"torch", module, f"{module}_types", "hybridopt.toolbox.schedule"} & set(told[0][1])


@pytest.mark.parametrize(
    "annotation", ["Nowhere", "Circle", "Again", "nowhere.Thing", "print", "Mine", "Literal[Nowhere]", "'list['"]
)
def test_a_type_that_cannot_be_followed_is_left_to_the_import(annotation: str, tmp_path: Path) -> None:
    source = (
        "from __future__ import annotations\n"
        "from typing import Literal\n"
        "def make(size: {annotation} = 3): ...\n"
        "if False:\n"
        "    from nowhere import Thing as Nowhere\n"
        "    import nowhere\n"
        "    Circle = Round\n"
        "    Round = Circle\n"
        "    class Mine(Mine): ...\n"
        "Again = int\n"
        "Again = Again | None\n"
    )
    install(tmp_path, "acme", source.format(annotation=annotation), model={"form": "make"})
    with on_path(tmp_path):
        plugin = registry.find("model", "form")
        with pytest.raises(Unreadable):
            read(plugin.entry_point.value)
        assert [parameter.name for parameter in plugin.describe().parameters] == ["size"]


@pytest.mark.parametrize("form", PLAIN)
def test_every_plain_signature_composes(form: str, tmp_path: Path) -> None:
    install(tmp_path, "acme", IMPORTS + SHAPES["function"].format(form=form), model={"form": "plugin"})
    with on_path(tmp_path):
        (parameter,) = registry.find("model", "form").describe().parameters
        assert plain(job("model=form").model) == {"name": "form", "a": composed_default(parameter)}


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["strategy=lottery_ticket", "strategy.search.popsize=3"], "strategy.search.popsize must be"),
        (["strategy=lottery_ticket", "strategy.encoding.sparsity=2"], "strategy.encoding.sparsity must lie"),
        (["strategy=ema", "strategy.inner.schedule=x"], "strategy.inner.schedule must be one of"),
        (["strategy=ema", "strategy/inner=ema", "strategy.inner.decay=2"], "strategy.inner.decay must lie"),
        (["strategy=adam", "strategy.schedule=x"], "strategy.schedule must be one of"),
    ],
)
def test_a_message_on_a_nested_plugin_names_its_place(
    composed: Callable[..., dict[str, Any]], overrides: list[str], said: str
) -> None:
    def build() -> None:
        config = composed(*overrides, "dataset=iris")  # which refuses what the signature says
        building.build("strategy", config["strategy"], spec=DataSpec((4,), 3, "classification"))

    with pytest.raises(ConfigError) as refused:
        build()
    assert str(refused.value).startswith(said)
