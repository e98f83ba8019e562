"""Jobs as somebody might type them, made from what is installed: right, at a bound, broken, misspelt, out of place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, get_args, get_origin

from hypothesis import strategies as st

from hybridopt.composition import registry, schema
from hybridopt.composition.checking import types_of
from hybridopt.composition.describe import REQUIRED
from hybridopt.composition.kinds import PARTS

LOCAL = ("iris", "wine", "diabetes", "moons", "friedman")  # data sets that need no network and no time
USUAL = {"model": "mlp", "dataset": "iris", "objective": "cross_entropy", "encoding": "direct"}
RIGHT = {
    int: ["2", "3", "8"],
    float: ["0.1", "0.5", "0.01"],
    bool: ["true", "false"],
    str: ["auto"],
    Any: ["auto", "2"],
}
BOUNDS = {
    int: ["0", "1", "-1", "4294967295", "9223372036854775807", "1000000000"],
    float: ["0", "1", "-0.0", "1e-320", "1e-45", "3.4e38", "-3.4e38", "1e18"],
}
BROKEN = [
    *("nan", "inf", "-inf", "[nan]", "[1,inf]", "1e300", "-1e300", "3.5e38", "1e30", "-1", "0", "1000000000"),
    *("-1000000000", "9223372036854775808", "18446744073709551616", "1.5", "1_0", "true", "null", "abc", "'nan'"),
    *(
        "[]",
        "[[]]",
        "[null]",
        "[1000000000]",
        "[a,b]",
        "{}",
        "{a: 1}",
        "{a: nan}",
        "{name: adam}",
        "{_target_: os.nope}",
    ),
    *("''", "' '", "'ünï ☃'", "'a\nb'", "'\"'", '"it\'s"', "'" + "x" * 5000 + "'", "'../../x'", "'/dev/null'"),
    *("???", "'${nope}'", "'${seed}'", "'${oc.env:NOPE}'", "'${strategy}'", "${now:%H}", "a=b", "a,b", "range(3)", "'"),
]
KEYS = ["nope", "lrr", "sed", "_x", "name_", "spec", "self", "kwargs", "generator", "_target_", "0", "ü"]
OUTSIDE = [
    *(
        "hydra.job.name=../x",
        "hydra.job.name=''",
        "hydra.run.dir=null",
        "hydra.nope=1",
        "hydra=1",
        "hydra/launcher=nope",
    ),
    *(
        "experiment=typo",
        "experiment=''",
        "experiment=../x",
        "+experiment=a",
        "=1",
        "a",
        "~",
        "+",
        "++",
        "strategy",
        "==",
    ),
    *("budget=typo", "tracking=typo", "tracking=null", "trainer=1", "budget={}", "model=[mlp,cnn]", "dataset=null"),
    *("strategy=", "+strategy=adam", "strategy={name: adam}", "strategy.name=sgd", "model@x=mlp", "defaults=[]"),
    *("+strategy/phases@strategy.phases.a=adam", "+trigger@strategy.until.a=steps", "strategy/search=typo"),
    *("+trainer.nope=1", "+trainer.callbacks.nope={}", "trainer.callbacks={early_stopping: {monitor: nope}}"),
    *("+trainer.max_epochs=0", "+trainer.profiler=nope", "+trainer.logger=true", "resume=nowhere", "start_over=maybe"),
]


@dataclass
class Known:
    """What can be typed of a job with some plugins.

    Args:
        sound: settings by dotted path, and values of their types.
        bounds: those with values at the ends of their types.
        groups: places of nested plugins, such as ``strategy/search``, and the names there are.
    """

    sound: dict[str, list[str]] = field(default_factory=dict)
    bounds: dict[str, list[str]] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)

    def add(self, path: str, kind: Any, choices: tuple[Any, ...] = ()) -> None:
        """Take a setting in."""
        self.sound[path] = [str(choice) for choice in choices] or values(kind, RIGHT) or ["null"]
        self.bounds[path] = values(kind, BOUNDS)

    def add_plugin(self, kind: str, name: str, place: str) -> None:
        """Take the settings of a plugin in, and those of the plugins inside that are there unless others are chosen."""
        for one in registry.find(kind, name).describe().parameters:
            if one.nested is None:
                self.add(f"{place}.{one.name}", one.type, one.choices)
                continue
            if one.many or (one.default is not REQUIRED and one.preset is None):
                continue
            self.groups[f"{place}.{one.name}".replace(".", "/")] = names(one.nested)
            if one.preset:
                self.add_plugin(one.nested, one.preset, f"{place}.{one.name}")


def names(kind: str) -> list[str]:
    """The plugins of a kind that can be built here at once."""
    return [name for name in registry.names(kind) if kind != "dataset" or name in LOCAL]


def known(chosen: dict[str, str]) -> Known:
    """What can be typed of a job with these plugins."""
    found = Known()
    for path, group in schema.FRAMES.items():
        for name, kind in types_of(group).items():
            if name not in ("arm", "resume", "uri", *schema.FRAMES, *PARTS):
                found.add(f"{path}.{name}" if path else name, kind)
    for kind, name in chosen.items():
        found.add_plugin(kind, name, kind)
    return found


def values(kind: Any, of: dict[Any, list[str]]) -> list[str]:
    """Values of a type, as they are typed."""
    if get_origin(kind) is list:
        return [f"[{value}]" for value in values(get_args(kind)[0], of)]
    return [value for one in get_args(kind) or (kind,) for value in of.get(one, [])]


@st.composite
def jobs(draw: Callable[[Any], Any], faults: int = 2) -> list[str]:
    """What a user types: plugins, and some of their settings and of the frame's.

    Args:
        draw: hypothesis's.
        faults: how many things may be wrong with it at most.
    """
    chosen = {kind: draw(st.sampled_from(names(kind))) for kind in PARTS}
    chosen |= {kind: name for kind, name in USUAL.items() if draw(st.integers(0, 3))}  # which go with each other
    there = known(chosen)
    sound = st.sampled_from([f"{path}={value}" for path, values in there.sound.items() for value in values])
    groups = [f"{place}={name}" for place, names in there.groups.items() for name in names]
    typed = draw(st.lists(sound, max_size=3)) + (draw(st.lists(st.sampled_from(groups), max_size=1)) if groups else [])
    typed += draw(st.lists(st.one_of(*faulty(there)), max_size=faults))
    others = {one.partition("=")[0]: one for one in typed}
    return [*(f"{kind}={name}" for kind, name in chosen.items()), *others.values()]


def faulty(there: Known) -> Iterator[st.SearchStrategy[str]]:
    """What may be wrong in a command line."""
    paths = st.sampled_from(list(there.sound))
    wrong = st.sampled_from(BROKEN) | st.integers().map(str) | st.floats().map(str)
    unknown = st.builds("+{}.{}".format, st.sampled_from([*filter(None, schema.FRAMES), *PARTS]), st.sampled_from(KEYS))
    yield st.sampled_from([f"{path}={value}" for path, values in there.bounds.items() for value in values])
    yield st.builds("{}={}".format, paths, wrong)
    yield st.builds("{}={}".format, unknown, wrong)
    yield st.builds("~{}".format, paths | st.sampled_from([*PARTS, *schema.FRAMES]))
    yield st.builds(misspelt, paths, st.integers(0, 30)).map("{}=1".format)
    yield st.builds("{}={}".format, st.sampled_from(PARTS), wrong)
    yield st.sampled_from(OUTSIDE)


def misspelt(path: str, at: int) -> str:
    """A path without one of its letters."""
    at %= len(path)
    return path[:at] + path[at + 1 :]
