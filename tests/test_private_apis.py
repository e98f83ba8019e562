"""The private names of other libraries that we use: each is there, as we use it, and there are no others.

A new release of a library may change them without a word; then a line here says which name, and who uses it. Tests of
what is built on them say whether it still works.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from private_apis import HYDRA, OTHERS, TORCH
from private_apis_of_packages import PACKAGES

ROOT = Path(__file__).resolve().parents[1]
CODE = [*(ROOT / "hybridopt").rglob("*.py"), *ROOT.glob("plugins/*/hybridopt_*/**/*.py")]
PUBLIC = {"_asdict", "_getframe", "_global_", "_self_", "_partial_"}  # of tuples, sys and Hydra: they are documented
ENDINGS = {  # of names
    "_SECTION",
    "_coefficient",
    "_init_stdev",
    "_mutate_power",
    "_prob",
    "_rate",
    "_fraction",
    "_add",
    "_dataloader",
}
USES = TORCH | HYDRA | OTHERS | PACKAGES


@pytest.mark.parametrize("name", USES)
def test_a_private_name_is_there_as_we_use_it(name: str) -> None:
    try:
        fits = USES[name].check()
    except Exception as error:  # whatever a library raises that has changed
        pytest.fail(f"{name}, which {USES[name].files} use, is no longer as we use it: {error!r}")
    assert fits, f"{name}, which {USES[name].files} use, is no longer as we use it"


# -- there are no others ----------------------------------------------------------------------------------------------


def test_no_other_private_names_are_used() -> None:
    trees = {place(path): ast.parse(path.read_text(encoding="utf-8")) for path in CODE}
    ours = {name for tree in trees.values() for name in bound(tree)}
    read = {(name, file) for file, tree in trees.items() for name in used(tree)}
    listed = {(name, file) for name, use in USES.items() for file in use.files.split()}
    others = {(name, file) for name, file in read - listed if name not in ours | PUBLIC | ENDINGS}
    assert others == set(), "do without them, or list them in private_apis.py with a check"
    assert listed - read == set(), "nobody uses these any more: leave them out"


def place(path: Path) -> str:
    """A file of code by its path below the package, or with the package's name for one of plugins/."""
    own = ROOT / "hybridopt"
    below = path.relative_to(own) if path.is_relative_to(own) else Path(*path.relative_to(ROOT / "plugins").parts[1:])
    return below.as_posix()


def bound(tree: ast.Module) -> Iterator[str]:
    """The private names that our own code gives to something."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                yield name


def used(tree: ast.Module) -> Iterator[str]:
    """The private names that are read: attributes and texts that may name one, imports in full."""
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name) | ast.Constant(value=str(name)) if is_private(name) and id(node) not in parts:
                yield name
            case ast.ImportFrom(module=str(module), names=aliases) if not module.startswith("hybridopt"):
                yield from (f"{module}.{one.name}" for one in aliases if is_private_path(f"{module}.{one.name}"))
            case ast.Import(names=aliases):
                yield from (one.name for one in aliases if is_private_path(one.name))


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name.isidentifier() and len(name) > 1


def is_private_path(path: str) -> bool:
    return any(map(is_private, path.split(".")))
