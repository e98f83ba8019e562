"""A plugin's settings, from its signature: read from the source text where that says it all, else by importing it.

Reading spares ``--help``, ``--cfg`` and completion the import of torch (seconds) and of anybody's broken package.
"""

from __future__ import annotations

import ast
import inspect
import operator
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, reduce
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from hybridopt.composition import kinds
from hybridopt.composition.annotations import Nested, meaning, read_type, read_value
from hybridopt.composition.kinds import Kind
from hybridopt.composition.source import DEEPEST, Place, Unreadable, find

REQUIRED = inspect.Parameter.empty
SUPPLIED = frozenset({"spec"})  # handed over by the framework: no setting of the user's


@dataclass(frozen=True)
class Parameter:
    """One setting.

    Args:
        name: as users type it.
        type: a type that OmegaConf validates.
        default: a plain value, or ``REQUIRED``.
        choices: the values of a ``Literal``; empty if free.
        nested: the kind of plugin that is configured here, or None.
        many: whether it is a mapping of names to nested plugins.
        preset: the name of the nested plugin that is taken unless the user says otherwise; of a mapping of them, the
            configs by name that stand for an empty one.
        items: how many values a list has that stands for a tuple of so many; None if free.
    """

    name: str
    type: Any
    default: Any = REQUIRED
    choices: tuple[Any, ...] = ()
    nested: str | None = None
    many: bool = False
    preset: str | Mapping[str, Any] | None = None
    items: int | None = None


@dataclass(frozen=True)
class Description:
    """What can be said of a plugin without running it.

    Args:
        summary: the first line of its docstring.
        parameters: its settings, in the order of the signature.
        names: the names of all arguments, those that the framework supplies included.
        open: whether it takes others too, by ``**``.
    """

    summary: str
    parameters: tuple[Parameter, ...]
    names: frozenset[str]
    open: bool = field(default=False, compare=False)  # an inherited ** may be seen only in the imported object

    @property
    def nested(self) -> tuple[Parameter, ...]:
        """The settings that are plugins again."""
        return tuple(parameter for parameter in self.parameters if parameter.nested is not None)


def describe(target: str, load: Callable[[], Any]) -> Description:
    """Describe the plugin ``module:attribute``; ``load`` imports it, and is called only if the source is not enough."""
    try:
        return read(target)
    except Unreadable:
        return from_object(load())


def read(target: str) -> Description:
    """Describe the plugin ``module:attribute`` from its source.

    Raises:
        Unreadable: the source does not tell, or the plugin is imported already, so that it need not be read.
    """
    module, _, attribute = target.partition(":")
    try:
        return _from_source(module.strip(), attribute.strip())
    except RecursionError as error:  # a name that is bound again in its own terms: X = X | None
        raise Unreadable from error


# -- from the source text ---------------------------------------------------------------------------------------------


@cache
def _from_source(module: str, attribute: str) -> Description:
    if module in sys.modules:  # already paid for, and what really runs
        raise Unreadable
    place = find(f"{module}:{attribute}")
    if place is None:
        raise Unreadable
    node = place.definition
    if isinstance(node, ast.ClassDef):
        home, init = _init(place)
        return _describe_function(init, home.module, place.docstring, skip=1)
    if isinstance(node, ast.FunctionDef) and not node.decorator_list:
        return _describe_function(node, place.module, place.docstring, skip=0)
    raise Unreadable


def _init(place: Place) -> tuple[Place, ast.FunctionDef | None]:
    """The ``__init__`` of a class, its own or the one that it inherits, and the class that has it; None for none."""
    for _ in range(DEEPEST):
        node = place.definition
        if not isinstance(node, ast.ClassDef) or node.decorator_list or node.keywords:
            raise Unreadable
        own = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name in ("__init__", "__new__")]
        if own and own[-1].decorator_list:
            raise Unreadable
        if own:
            return place, own[-1]
        bases = [meaning(place.module, base) for base in node.bases]
        if all(isinstance(base, Kind) for base in bases):
            return place, None  # a contract has no settings
        if len(bases) > 1 or not isinstance(bases[0], Place):
            raise Unreadable
        place = bases[0]
    raise Unreadable


def _describe_function(node: ast.FunctionDef | None, module: str, doc: str, skip: int) -> Description:
    if node is None:
        return Description(first_line(doc), (), frozenset())
    arguments = node.args
    if arguments.vararg or arguments.kwarg or arguments.posonlyargs or node.name == "__new__":
        raise Unreadable
    positional = list(zip(arguments.args, _padded(arguments.defaults, len(arguments.args)), strict=True))[skip:]
    pairs = positional + list(zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True))
    parameters = [
        _parameter(argument.arg, read_type(module, argument.annotation), _read_default(default))
        for argument, default in pairs
        if argument.arg not in SUPPLIED
    ]
    return Description(first_line(doc), tuple(parameters), frozenset(argument.arg for argument, _ in pairs))


def _padded(defaults: list[ast.expr], length: int) -> list[ast.expr | None]:
    return [None] * (length - len(defaults)) + list(defaults)


def _read_default(node: ast.expr | None) -> Any:
    return REQUIRED if node is None else read_value(node)


# -- from the imported object -----------------------------------------------------------------------------------------


def from_object(plugin: Any) -> Description:
    """Describe a class or function that is there."""
    signature = inspect.signature(plugin)
    function = plugin.__init__ if inspect.isclass(plugin) else plugin
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except Exception:  # whatever it is that an author's annotation raises
        hints = {}
    bare = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    named = [parameter for parameter in signature.parameters.values() if parameter.kind not in bare]
    parameters = [
        _parameter(parameter.name, hints.get(parameter.name, Any), parameter.default)
        for parameter in named
        if parameter.name not in SUPPLIED
    ]
    more = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in signature.parameters.values())
    return Description(first_line(plugin.__doc__), tuple(parameters), frozenset(p.name for p in named), more)


def first_line(doc: str | None) -> str:
    """The summary line of a docstring."""
    return (doc or "").strip().split("\n", 1)[0]


# -- one setting ------------------------------------------------------------------------------------------------------


def _parameter(name: str, annotation: Any, default: Any) -> Parameter:
    preset = None
    if get_origin(annotation) is typing.Annotated:
        annotation, *extras = get_args(annotation)
        preset = next((extra for extra in extras if isinstance(extra, str | Mapping)), None)
    nested, many = _nested(annotation)
    if nested is not None:
        return Parameter(name, Any, default, nested=nested, many=many, preset=preset)
    kind, choices = _validated(annotation)
    return Parameter(name, kind, default, choices, items=_items(annotation))


def _nested(annotation: Any) -> tuple[str | None, bool]:
    """The kind of plugin that an annotation asks for, and whether it asks for a mapping of them."""
    if get_origin(annotation) in (dict, Mapping):
        return _kind(get_args(annotation)[1]), True
    candidates: Iterable[Any] = get_args(annotation) if _is_union(annotation) else [annotation]
    return next((kind for kind in map(_kind, candidates) if kind), None), False


def _kind(annotation: Any) -> str | None:
    kind = annotation.kind if isinstance(annotation, Nested) else kinds.of_class(annotation)
    return kind.name if kind is not None and kind.configured else None


def _validated(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type that OmegaConf validates, and the choices of a Literal."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return (str if all(isinstance(choice, str) for choice in arguments) else Any), arguments
    if _is_union(annotation):
        members = [_validated(argument) for argument in arguments if argument is not type(None)]
        kinds, choices = [kind for kind, _ in members], sum((choice for _, choice in members), ())
        optional = type(None) in arguments
        mixed = len(kinds) > 1 and any(get_origin(kind) for kind in kinds)  # OmegaConf knows unions of scalars only
        union = Any if Any in kinds or mixed else reduce(operator.or_, kinds)
        if optional:
            return (Any if union is Any else union | None), (*choices, None) if choices else ()
        return union, choices
    if origin is list:
        return list[_validated(arguments[0])[0]], ()
    if origin is tuple:
        inner = {_validated(argument)[0] for argument in arguments if argument is not Ellipsis}
        return list[inner.pop()] if len(inner) == 1 else list[Any], ()
    if origin in (dict, Mapping):
        return dict[str, _validated(arguments[1])[0]], ()
    if annotation is Path:
        return str, ()
    return (annotation if annotation in (int, float, str, bool) else Any), ()


def _items(annotation: Any) -> int | None:
    arguments = get_args(annotation)
    return len(arguments) if get_origin(annotation) is tuple and Ellipsis not in arguments else None


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)
