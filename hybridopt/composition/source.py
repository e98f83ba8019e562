"""What source text says, read and not imported: where a module is, and what a name in it stands for.

Names are followed through imports and assignments to where they are defined, since a package may announce what it only
re-exports, a class may inherit its settings, and a type may be defined once for many plugins.
"""

from __future__ import annotations

import ast
import builtins
import importlib.machinery
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import resolve_name
from itertools import islice
from pathlib import Path
from typing import Any

DEEPEST = 20  # names that stand for names, and classes that derive from classes


class Unreadable(Exception):
    """The source text does not tell; the object must be imported."""


# -- modules ----------------------------------------------------------------------------------------------------------


@cache
def parse(module: str) -> ast.Module:
    """The module's syntax tree; no package on the way is imported.

    Raises:
        Unreadable: there is no such module, or it is not written in Python that can be read.
    """
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


# -- names ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """A name in a module.

    Args:
        module: dotted.
        name: defined there, imported there, or neither; empty for the module itself.
    """

    module: str
    name: str

    @property
    def path(self) -> str:
        """``module.name``."""
        return f"{self.module}.{self.name}" if self.name else self.module

    @property
    def definition(self) -> ast.ClassDef | ast.FunctionDef | ast.expr | None:
        """The class or function, or the expression that is assigned; None where the name is not defined there."""
        found = _bound(self)
        return None if isinstance(found, Place) else found

    @property
    def docstring(self) -> str:
        """Of a class or function, as help() shows it."""
        node = self.definition
        return ast.get_docstring(node) or "" if isinstance(node, ast.ClassDef | ast.FunctionDef) else ""

    @property
    def file(self) -> str:
        """Where it is defined, ``path:line``."""
        spec, node = find_module(self.module), self.definition
        return f"{spec.origin if spec is not None else self.module}:{node.lineno if node is not None else 1}"


def find(target: str) -> Place | None:
    """The class or function ``module:name``, wherever it is defined; None where the source does not tell."""
    module, _, name = (part.strip() for part in target.partition(":"))
    place = last(follow(Place(module, name)))
    return place if isinstance(place.definition, ast.ClassDef | ast.FunctionDef) else None


def follow(place: Place | None) -> Iterator[Place]:
    """A name, and what it stands for, one import or assignment after the other.

    A module is read only when the place after it is asked for: who recognises a place needs not read it.
    """
    return islice(_steps(place), DEEPEST)


def last(places: Iterator[Place]) -> Place:
    """Where following a name ends."""
    *_, found = places
    return found


def _steps(place: Place | None) -> Iterator[Place]:
    while place is not None:
        yield place
        found = _bound(place)
        if found is None and hasattr(builtins, place.name) and place.module != builtins.__name__:
            found = Place(builtins.__name__, place.name)
        place = found if isinstance(found, Place) else named(place.module, found)


def named(module: str, node: ast.AST | None) -> Place | None:
    """The place that an expression in a module names, such as ``Strategy`` or ``nn.Module``; None for any other."""
    match node:
        case ast.Name(id=name):
            return Place(module, name)
        case ast.Attribute(value=value, attr=attribute):
            home = next((place for place in follow(named(module, value)) if _is_module(place)), None)
            return Place(home.path, attribute) if home is not None else None
    return None


def _is_module(place: Place) -> bool:
    return not place.name or find_module(place.path) is not None  # rather than reading packages such as torch


@cache
def _bound(place: Place) -> ast.ClassDef | ast.FunctionDef | ast.expr | Place | None:
    """What a module binds a name to: a definition, an expression, or a place from which it imports it."""
    try:
        statements = list(_statements(parse(place.module).body)) if place.name else []
    except Unreadable:
        return None
    for statement in reversed(statements):  # the last definition is the one that counts
        match statement:
            case ast.ClassDef(name=place.name) | ast.FunctionDef(name=place.name):
                return statement
            case ast.ImportFrom() | ast.Import():
                imported = _imported(place, statement)
                if imported is not None:
                    return imported
            case ast.Assign() | ast.AnnAssign() if place.name in assigned(statement) and statement.value is not None:
                return statement.value
    return None


def _imported(place: Place, statement: ast.Import | ast.ImportFrom) -> Place | None:
    """Where an import takes a name from; None if it brings another one."""
    for alias in statement.names:
        if isinstance(statement, ast.Import) and (alias.asname or alias.name.partition(".")[0]) == place.name:
            return Place(alias.name if alias.asname else place.name, "")
        if isinstance(statement, ast.ImportFrom) and (alias.asname or alias.name) == place.name:
            return Place(_source_of(place.module, statement), alias.name)
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


def assigned(statement: ast.stmt) -> set[str]:
    """The names that a statement assigns to."""
    targets = getattr(statement, "targets", None) or [getattr(statement, "target", None)]
    return {target.id for target in targets if isinstance(target, ast.Name)}


# -- classes ----------------------------------------------------------------------------------------------------------


def ancestors(place: Place, root: str, depth: int = 0) -> Iterator[Place]:
    """A class and the classes that it derives from, each where it is defined, as far as their source is there.

    Args:
        place: of the class.
        root: ``module.name`` of the last class that is asked about: what it derives from is left out.
    """
    node = place.definition
    if depth > DEEPEST or not isinstance(node, ast.ClassDef):
        return
    yield place
    for base in node.bases if place.path != root else ():
        home = named(place.module, base)
        if home is not None:
            yield from ancestors(last(follow(home)), root, depth + 1)


def made_by(place: Place) -> Place | None:
    """The class itself, or the class whose instances a function says that it returns."""
    node = place.definition
    if not isinstance(node, ast.FunctionDef):
        return place
    returned = named(place.module, node.returns)
    return last(follow(returned)) if returned is not None else None
