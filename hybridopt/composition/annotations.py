"""The types that annotations in source text stand for; names are followed to their definitions, nothing is imported."""

from __future__ import annotations

import ast
import builtins
import operator
import typing
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, Union, cast

from hybridopt.composition.kinds import CONTRACTS, Kind
from hybridopt.composition.source import Place, Unreadable, follow, named

GENERIC = (list, tuple, dict, Mapping)
FORMS = {  # what annotations are made of
    **{f"builtins.{known.__name__}": known for known in (int, float, str, bool, object, list, tuple, dict)},
    **{f"typing.{known}": getattr(typing, known) for known in ("Any", "Literal", "Annotated", "Optional", "Union")},
    "pathlib.Path": Path,
    "typing.Mapping": Mapping,
    "collections.abc.Mapping": Mapping,
}


def read_value(node: ast.expr) -> Any:
    """A plain value.

    Raises:
        Unreadable: it is computed.
    """
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        raise Unreadable from error


class Nested:
    """Stands for a plugin's abstract class in an annotation that was only read."""

    def __init__(self, kind: Kind):
        self.kind = kind

    def __or__(self, other: Any) -> Any:
        return self

    __ror__ = __or__


def read_type(module: str, node: ast.expr | None) -> Any:
    """The type that an annotation stands for; a plugin's class becomes a :class:`Nested`.

    Args:
        module: dotted, in which the annotation is written.
        node: the annotation; None for none, which is any type.

    Raises:
        Unreadable: the source does not tell.
    """
    match node:
        case None:
            return Any
        case ast.Constant(value=None):
            return type(None)
        case ast.Constant(value=builtins.Ellipsis):
            return ...
        case ast.Constant(value=str(quoted)):
            return read_type(module, _parsed(quoted))
        case ast.BinOp(op=ast.BitOr()):
            return read_type(module, node.left) | read_type(module, node.right)
        case ast.Subscript(value=form, slice=inner):
            arguments = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            return _read_generic(module, meaning(module, form), arguments)
    found = meaning(module, node)
    if isinstance(found, Kind):
        return Nested(found)
    return _read_defined(found) if isinstance(found, Place) else found


def _parsed(quoted: str) -> ast.expr:
    try:
        return ast.parse(quoted, mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise Unreadable from error


def _read_generic(module: str, form: Any, arguments: list[ast.expr]) -> Any:
    """A type with arguments, such as ``list[int]`` or ``Literal["a", "b"]``."""
    if form is Literal:
        return Literal[tuple(read_value(argument) for argument in arguments)]
    if form is Annotated:
        return Annotated[(read_type(module, arguments[0]), *(read_value(extra) for extra in arguments[1:]))]
    types = tuple(read_type(module, argument) for argument in arguments)
    if form is Optional:
        return types[0] | type(None)
    if form is Union:
        return reduce(operator.or_, types)
    if form in GENERIC:
        return cast(Any, form)[types if len(types) != 1 else types[0]]
    raise Unreadable


def _read_defined(place: Place) -> Any:
    """The type that a name is defined as: a plugin's class, or another type by another name."""
    node = place.definition
    if isinstance(node, ast.expr):
        return read_type(place.module, node)
    if isinstance(node, ast.ClassDef) and len(node.bases) == 1:
        base = read_type(place.module, node.bases[0])
        if isinstance(base, Nested):
            return base
    raise Unreadable


def meaning(module: str, node: ast.expr) -> Kind | Place | Any:
    """What a name stands for: a kind of plugin by its contract, a type that is known, or where it is defined."""
    place = None
    for place in follow(named(module, node)):
        if place.path in CONTRACTS:
            return CONTRACTS[place.path]
        if place.path in FORMS:
            return FORMS[place.path]
    if place is None or place.definition is None or named(place.module, place.definition) is not None:
        raise Unreadable  # it is defined nowhere that can be read, or in a circle
    return place
