"""A plugin's settings, from its signature: read from the source text where that says it all, else by importing it.

Reading spares ``--help``, ``--cfg`` and completion the import of torch (seconds) and of anybody's broken package.
"""

from __future__ import annotations

import ast
import importlib.machinery
import inspect
import operator
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, reduce
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

REQUIRED = inspect.Parameter.empty
SUPPLIED = frozenset({"spec"})  # handed over by the framework: no setting of the user's
NESTED = {
    "Strategy": "strategy",
    "Search": "strategy",
    "Encoding": "encoding",
    "Objective": "objective",
    "Module": "model",
    "DataModule": "dataset",
}
SCALARS = {"int": int, "float": float, "str": str, "bool": bool, "Any": Any, "Path": str}


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
        preset: the name of the nested plugin that is taken unless the user says otherwise.
    """

    name: str
    type: Any
    default: Any = REQUIRED
    choices: tuple[Any, ...] = ()
    nested: str | None = None
    many: bool = False
    preset: str | None = None


@dataclass(frozen=True)
class Description:
    """What can be said of a plugin without running it.

    Args:
        summary: the first line of its docstring.
        parameters: its settings, in the order of the signature.
        names: the names of all arguments, those that the framework supplies included.
    """

    summary: str
    parameters: tuple[Parameter, ...]
    names: frozenset[str]


class Unreadable(Exception):
    """The source text does not tell; the plugin must be imported."""


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
    return _from_source(module.strip(), attribute.strip())


# -- from the source text ---------------------------------------------------------------------------------------------


@cache
def _from_source(module: str, attribute: str) -> Description:
    if module in sys.modules:  # already paid for, and what really runs
        raise Unreadable
    tree = parse(module)
    node = next((node for node in tree.body if getattr(node, "name", None) == attribute), None)
    if isinstance(node, ast.ClassDef):
        if node.decorator_list:
            raise Unreadable
        init = next((item for item in node.body if getattr(item, "name", None) == "__init__"), None)
        if init is None:
            return _without_init(node)
        return _describe_function(init, ast.get_docstring(node), skip=1)
    if isinstance(node, ast.FunctionDef) and not node.decorator_list:
        return _describe_function(node, ast.get_docstring(node), skip=0)
    raise Unreadable


def _without_init(node: ast.ClassDef) -> Description:
    """A class that derives from a contract alone has no settings; another may inherit some."""
    if all(isinstance(base, ast.Name) and base.id in NESTED for base in node.bases):
        return Description(first_line(ast.get_docstring(node)), (), frozenset())
    raise Unreadable


@cache
def parse(module: str) -> ast.Module:
    """The module's syntax tree; no package on the way is imported."""
    spec = find_module(module)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise Unreadable
    try:
        return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError) as error:
        raise Unreadable from error


def find_module(module: str) -> importlib.machinery.ModuleSpec | None:
    """Where a module or package is, or None; neither it nor a package on the way is imported."""
    if not all(part.isidentifier() for part in module.split(".")):
        return None
    search: Any = None
    spec = None
    for depth, _ in enumerate(module.split(".")):
        if depth > 0 and search is None:
            return None  # the one before is a module, no package
        name = ".".join(module.split(".")[: depth + 1])
        loaded = sys.modules.get(name)
        spec = loaded.__spec__ if loaded is not None else _find_spec(name, search)
        if spec is None:
            return None
        search = spec.submodule_search_locations
    return spec


def _find_spec(name: str, path: Any) -> importlib.machinery.ModuleSpec | None:
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        spec = find(name, path) if find else None
        if spec is not None:
            return spec
    return None


def _describe_function(node: ast.FunctionDef, doc: str | None, skip: int) -> Description:
    arguments = node.args
    if arguments.vararg or arguments.kwarg or arguments.posonlyargs:
        raise Unreadable
    positional = list(zip(arguments.args, _padded(arguments.defaults, len(arguments.args)), strict=True))[skip:]
    pairs = positional + list(zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True))
    parameters = [
        _parameter(argument.arg, _read_type(argument.annotation), _read_default(default))
        for argument, default in pairs
        if argument.arg not in SUPPLIED
    ]
    return Description(first_line(doc), tuple(parameters), frozenset(argument.arg for argument, _ in pairs))


def _padded(defaults: list[ast.expr], length: int) -> list[ast.expr | None]:
    return [None] * (length - len(defaults)) + list(defaults)


def _read_default(node: ast.expr | None) -> Any:
    if node is None:
        return REQUIRED
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        raise Unreadable from error


class _Nested:
    """Stands for a plugin's abstract class in an annotation that was only read."""

    def __init__(self, kind: str):
        self.kind = kind

    def __or__(self, other: Any) -> Any:
        return self

    __ror__ = __or__


def _read_type(node: ast.expr | None) -> Any:
    match node:
        case ast.Name(id=name) if name in SCALARS:
            return SCALARS[name]
        case ast.Name(id=name) | ast.Attribute(attr=name) if name in NESTED:
            return _Nested(NESTED[name])
        case ast.Constant(value=None):
            return type(None)
        case ast.BinOp(op=ast.BitOr()):
            left, right = _read_type(node.left), _read_type(node.right)
            return left | right
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[inner, ast.Constant(value=preset)])):
            return typing.Annotated[_read_type(inner), preset]
        case ast.Subscript(value=ast.Name(id="Literal"), slice=choices):
            elements = choices.elts if isinstance(choices, ast.Tuple) else [choices]
            return Literal[tuple(_read_default(element) for element in elements)]
        case ast.Subscript(value=ast.Name(id="list"), slice=inner):
            return list[_read_type(inner)]
        case ast.Subscript(value=ast.Name(id="tuple"), slice=ast.Tuple(elts=inner)):
            return tuple[tuple(_read_type(item) for item in inner)]
        case ast.Subscript(value=ast.Name(id="dict" | "Mapping"), slice=ast.Tuple(elts=[key, value])):
            return dict[_read_type(key), _read_type(value)]
    raise Unreadable


# -- from the imported object -----------------------------------------------------------------------------------------


def from_object(plugin: Any) -> Description:
    """Describe a class or function that is there."""
    signature = inspect.signature(plugin)
    function = plugin.__init__ if inspect.isclass(plugin) else plugin
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError):
        hints = {}
    bare = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    named = [parameter for parameter in signature.parameters.values() if parameter.kind not in bare]
    parameters = [
        _parameter(parameter.name, hints.get(parameter.name, Any), parameter.default)
        for parameter in named
        if parameter.name not in SUPPLIED
    ]
    return Description(first_line(plugin.__doc__), tuple(parameters), frozenset(p.name for p in named))


def first_line(doc: str | None) -> str:
    """The summary line of a docstring."""
    return (doc or "").strip().split("\n", 1)[0]


# -- one setting ------------------------------------------------------------------------------------------------------


def _parameter(name: str, annotation: Any, default: Any) -> Parameter:
    preset = None
    if get_origin(annotation) is typing.Annotated:
        annotation, *extras = get_args(annotation)
        preset = next((extra for extra in extras if isinstance(extra, str)), None)
    nested, many = _nested(annotation)
    if nested is not None:
        return Parameter(name, Any, default, nested=nested, many=many, preset=preset)
    kind, choices = _validated(annotation)
    return Parameter(name, kind, default, choices)


def _nested(annotation: Any) -> tuple[str | None, bool]:
    """The kind of plugin that an annotation asks for, and whether it asks for a mapping of them."""
    if get_origin(annotation) in (dict, Mapping):
        return _kind(get_args(annotation)[1]), True
    candidates: Iterable[Any] = get_args(annotation) if _is_union(annotation) else [annotation]
    return next((kind for kind in map(_kind, candidates) if kind), None), False


def _kind(annotation: Any) -> str | None:
    if isinstance(annotation, _Nested):
        return annotation.kind
    if not inspect.isclass(annotation):
        return None
    names = {base.__name__ for base in annotation.__mro__ if base.__module__.startswith("hybridopt.")}
    exact = {annotation.__name__} if annotation.__module__.startswith("torch.nn") else set()
    return next((NESTED[name] for name in NESTED if name in names | exact), None)


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


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)
