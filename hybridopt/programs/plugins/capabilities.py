"""What a plugin needs or offers, in the words of its kind, as far as its source tells."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any, cast

from hybridopt.composition.kinds import Kind
from hybridopt.composition.source import Place, ancestors, assigned, made_by

UNKNOWN = object()  # not declared, or only known when it runs


def capabilities(kind: Kind, place: Place | None) -> Iterator[str]:
    """The words for a plugin."""
    made = made_by(place) if place is not None and (kind.relatives or kind.attributes) else None
    if made is None:
        return
    ancestry = list(ancestors(made, root=kind.contract.replace(":", ".")))
    paths = {ancestor.path for ancestor in ancestry}
    for relative, word in kind.relatives.items():
        if relative.replace(":", ".") in paths:
            yield word
    for attribute, words in kind.attributes.items():
        yield from _worded(_declared(ancestry, attribute), words)


def _worded(value: Any, words: str | tuple[str, str]) -> list[str]:
    if isinstance(words, str):
        return [words.format(item) for item in sorted(value)] if isinstance(value, frozenset) else []
    return [words[0] if value else words[1]] if isinstance(value, bool) else []


def _declared(ancestry: list[Place], attribute: str) -> Any:
    """The value of a class attribute, inherited ones included, where it is a literal; else ``UNKNOWN``."""
    for ancestor in ancestry:
        for item in cast(ast.ClassDef, ancestor.definition).body:
            if getattr(item, "name", None) == attribute:
                return UNKNOWN  # a property
            value = getattr(item, "value", None)
            if attribute in assigned(item) and value is not None:
                return _literal(value)
    return UNKNOWN


def _literal(node: ast.expr) -> Any:
    match node:
        case ast.Call(func=ast.Name(id="frozenset"), args=[]):
            return frozenset()
        case ast.Call(func=ast.Name(id="frozenset"), args=[inner]):
            value = _literal(inner)
            return value if value is UNKNOWN else frozenset(value)
    try:
        return ast.literal_eval(node)
    except ValueError:
        return UNKNOWN
