"""What the source of a plugin says of it, read and not imported: where it is, its docstring, what it declares.

Names are followed through imports and base classes, since a package may announce what it only re-exports, and a
strategy may inherit what it requires.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import resolve_name
from typing import Any

from hybridopt.composition.describe import Unreadable, find_module, first_line, parse

COMPUTED = object()  # declared, but only known when it runs
ABSENT = object()
DEEPEST = 20  # names that stand for names that stand for names


@dataclass(frozen=True)
class Place:
    """A class or function, and the module that it is defined in."""

    module: str
    node: ast.ClassDef | ast.FunctionDef

    @property
    def name(self) -> str:
        """``module.name``."""
        return f"{self.module}.{self.node.name}"

    @property
    def docstring(self) -> str:
        """As help() shows it."""
        return ast.get_docstring(self.node) or ""

    @property
    def file(self) -> str:
        """Where it is, ``path:line``."""
        spec = find_module(self.module)
        return f"{spec.origin if spec is not None else self.module}:{self.node.lineno}"


def find(target: str) -> Place | None:
    """The class or function ``module:name``, wherever it is defined; None where the source does not tell."""
    module, _, attribute = (part.strip() for part in target.partition(":"))
    return _resolve(module, attribute)


def summary(place: Place | None) -> str:
    """The first line of its docstring."""
    return first_line(place.docstring) if place is not None else ""


def capabilities(kind: str, place: Place | None) -> list[str]:
    """What a plugin needs or offers, in words, as far as its source tells."""
    made = _made_by(place) if place is not None else None
    if made is None:
        return []
    if kind == "strategy":
        requires = declared(made, "requires")
        kinds = ["search"] if "hybridopt.core.strategy.Search" in _ancestry(made) else []
        kinds += ["hybrid"] if requires is COMPUTED else []
        return kinds + [f"needs {answer}" for answer in sorted(requires)] if isinstance(requires, frozenset) else kinds
    if kind == "objective":
        gradient = {True: ["gradient"], False: ["no gradient"]}.get(declared(made, "differentiable"), [])
        tasks = declared(made, "tasks")
        return gradient + (sorted(tasks) if isinstance(tasks, frozenset) else [])
    if kind == "encoding":
        return ["sparse"] if "hybridopt.core.encoding.SparseEncoding" in _ancestry(made) else []
    return []


def declared(place: Place, attribute: str) -> Any:
    """The value of a class attribute, inherited ones included; ``COMPUTED`` or ``ABSENT`` where there is no literal."""
    for ancestor in _ancestors(place):
        for item in ancestor.node.body:
            if getattr(item, "name", None) == attribute:
                return COMPUTED
            if attribute in _assigned(item) and getattr(item, "value", None) is not None:
                return _literal(item.value)
    return ABSENT


# -- names ------------------------------------------------------------------------------------------------------------


@cache
def _resolve(module: str, name: str, depth: int = 0) -> Place | None:
    """The class or function that a name in a module stands for."""
    if depth > DEEPEST:
        return None
    try:
        statements = list(_statements(parse(module).body))
    except Unreadable:
        return None
    for statement in reversed(statements):  # the last definition is the one that counts
        match statement:
            case ast.ClassDef(name=defined) | ast.FunctionDef(name=defined) if defined == name:
                return Place(module, statement)
            case ast.ImportFrom(names=aliases):
                for alias in aliases:
                    if (alias.asname or alias.name) == name:
                        return _resolve(_source_of(module, statement), alias.name, depth + 1)
            case ast.Assign(value=ast.Name(id=other)) if name in _assigned(statement):
                return _resolve(module, other, depth + 1)
    return None


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, those under ``if`` and ``try`` included."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If | ast.Try):
            yield from _statements(statement.body)


def _source_of(module: str, statement: ast.ImportFrom) -> str:
    """The module that ``from … import …`` reads."""
    if not statement.level:
        return statement.module or ""
    spec = find_module(module)
    inside = spec is not None and spec.submodule_search_locations is not None
    package = module if inside else module.rpartition(".")[0]
    try:
        return resolve_name("." * statement.level + (statement.module or ""), package)
    except ImportError:
        return ""


def _assigned(statement: ast.stmt) -> set[str]:
    targets = getattr(statement, "targets", None) or [getattr(statement, "target", None)]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _literal(node: ast.expr) -> Any:
    match node:
        case ast.Call(func=ast.Name(id="frozenset"), args=[]):
            return frozenset()
        case ast.Call(func=ast.Name(id="frozenset"), args=[inner]):
            value = _literal(inner)
            return COMPUTED if value is COMPUTED else frozenset(value)
    try:
        return ast.literal_eval(node)
    except ValueError:
        return COMPUTED


# -- classes ----------------------------------------------------------------------------------------------------------


def _made_by(place: Place) -> Place | None:
    """The class itself, or the class whose instances a function says that it returns."""
    if isinstance(place.node, ast.ClassDef):
        return place
    returned = place.node.returns
    return _resolve(place.module, returned.id) if isinstance(returned, ast.Name) else None


def _ancestors(place: Place, depth: int = 0) -> Iterator[Place]:
    """A class, and the classes that it derives from, as far as their source is there."""
    if depth > DEEPEST or not isinstance(place.node, ast.ClassDef):
        return
    yield place
    for base in place.node.bases:
        found = _resolve(place.module, base.id) if isinstance(base, ast.Name) else None
        if found is not None:
            yield from _ancestors(found, depth + 1)


def _ancestry(place: Place) -> set[str]:
    return {ancestor.name for ancestor in _ancestors(place)}
