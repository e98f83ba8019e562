"""Write the reference pages from docstrings and signatures: docs/contracts/*.md and docs/plugins.md.

    python scripts/tools/make_docs.py
    python scripts/tools/make_docs.py --check

With --check nothing is written; stale pages are named, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, get_origin

import hybridopt
from hybridopt import testing
from hybridopt.composition import registry
from hybridopt.composition.describe import REQUIRED, Parameter
from hybridopt.composition.kinds import PARTS
from hybridopt.core.objective import WeightObjective

DOCS = Path(__file__).resolve().parents[2] / "docs"
SECTIONS = ("Args", "Returns", "Raises", "Attributes", "Class attributes")
FIT = {  # what goes with a data set's task
    "regression": "objective=mse",
    "classification": "objective=cross_entropy",
}
CHANGED = {int: lambda value: value * 2, float: lambda value: value / 2, bool: lambda value: str(not value).lower()}


# -- contracts --------------------------------------------------------------------------------------------------------


def contract_pages() -> Iterator[tuple[str, str]]:
    """A page for each public name, and their index: (path below docs, text)."""
    rows = []
    for home in (hybridopt, testing):
        for name in sorted(home.__all__):
            thing = getattr(home, name)
            summary = alias_of(name)[1] if is_alias(thing) else first_line(thing)
            rows.append(f"| [`{name}`]({name}.md) | `{home.__name__}` | {summary} |")
            yield f"contracts/{name}.md", page(home.__name__, name, thing)
    head = "# Contracts\n\nThe public names, on which packages build. Made by `python scripts/tools/make_docs.py`.\n"
    yield "contracts/README.md", "\n".join([head, "| name | from | |", "|---|---|---|", *rows, ""])


def page(home: str, name: str, thing: Any) -> str:
    """What is to know of one public name."""
    if is_alias(thing):
        return f"# {name}\n\n```python\nfrom {home} import {name}\n\n{alias_of(name)[0]}\n```\n\n{alias_of(name)[1]}\n"
    parts = [f"# {name}", f"```python\nfrom {home} import {name}\n```", signature_block(name, thing), prose(thing)]
    if inspect.isclass(thing):
        for member, value in public_members(thing):
            parts += [f"## {member}", signature_block(member, value), prose(value)]
    return "\n\n".join(part for part in parts if part) + "\n"


def is_alias(thing: Any) -> bool:
    """Whether a public name stands for a type that is made of others."""
    return (not inspect.isclass(thing) and not inspect.isroutine(thing)) or get_origin(thing) is not None


def alias_of(name: str) -> tuple[str, str]:
    """The definition of an alias, and the text below it, from the source."""
    tree = ast.parse(inspect.getsource(import_module(hybridopt._HOME[name])))
    for statement, below in pairwise(tree.body):
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == name:
            return ast.unparse(statement), below.value.value
    raise LookupError(name)


def public_members(cls: type) -> Iterator[tuple[str, Any]]:
    """Methods and properties that the class, or one of this project's that it derives from, defines."""
    seen: dict[str, Any] = {}
    for base in reversed([base for base in cls.__mro__ if base.__module__.startswith("hybridopt")]):
        seen |= {name: value for name, value in vars(base).items() if not name.startswith("_")}
    for name, value in seen.items():
        value = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if (inspect.isfunction(value) or isinstance(value, property)) and inspect.getdoc(value):
            yield name, value


def signature_block(name: str, thing: Any) -> str:
    """The signature as code; properties and plain values have none."""
    if isinstance(thing, property) or not callable(thing):
        return ""
    try:
        signature = inspect.signature(thing)
    except (TypeError, ValueError):
        return ""
    text = re.sub(r"<(?:function|method) '?([\w.]+)'?[^>]*>", r"\1", f"{name}{signature}")
    text = re.sub(r": '([^']*)'", r": \1", re.sub(r"-> '([^']*)'", r"-> \1", text))
    return f"```python\n{text}\n```"


def prose(thing: Any) -> str:
    """A docstring as Markdown: sections become lists, references code."""
    lines, shown, section = inspect.cleandoc(thing.__doc__ or "").splitlines(), [], None
    for line in lines:
        if line.rstrip(":") in SECTIONS and line.endswith(":"):
            section = line.rstrip(":")
            shown += [f"**{section}**", ""]
        elif section and line and not line.startswith(" "):
            section = None
            shown.append(line)
        elif section and re.match(r" {4}\S", line):
            head, colon, rest = line.strip().partition(": ")
            shown.append(f"- `{head}`: {rest}" if colon else f"- {line.strip()}")
        elif section:
            shown.append(f"  {line.strip()}".rstrip())
        else:
            shown.append(line)
    text = "\n".join(shown)
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text)
    return text.replace("``", "`").replace("\\*", "*").strip()


def first_line(thing: Any) -> str:
    """The summary of a docstring, as a cell of a table."""
    return prose(thing).split("\n", 1)[0].replace("|", "\\|")


# -- plugins ----------------------------------------------------------------------------------------------------------


def plugins_page() -> str:
    """Every built-in plugin: summary, an example that composes, settings."""
    parts = [
        "# Built-in plugins",
        "Settings with types and defaults, and a command to try for each. Made by `python scripts/tools/make_docs.py`.",
    ]
    for kind in PARTS:
        parts.append(f"## {kind}")
        for name in registry.names(kind):
            plugin = own(kind, name)
            if plugin is not None:
                parts += section(plugin)
    return "\n\n".join(parts) + "\n"


def own(kind: str, name: str) -> registry.Plugin | None:
    """This project's plugin of that name, or None."""
    return next((plugin for plugin in registry.plugins(kind)[name] if plugin.distribution == "hybridopt"), None)


def section(plugin: registry.Plugin) -> list[str]:
    """One plugin's part of the page."""
    description = plugin.describe()
    rows = [f"| `{one.name}` | {shown_type(one)} | {shown_default(one)} |" for one in description.parameters]
    table = ["| setting | type | default |\n|---|---|---|\n" + "\n".join(rows)] if rows else []
    summary = description.summary.replace("``", "`")
    return [f"### {plugin.name}", summary, f"```bash\nhybridopt {' '.join(example(plugin))}\n```", *table]


def example(plugin: registry.Plugin) -> list[str]:
    """Overrides that choose a plugin, what must be chosen with it, and a change of one of its settings."""
    kind, name = plugin.kind, plugin.name
    beside = kind == "objective" and issubclass(plugin.load(), WeightObjective)  # which stands behind a loss
    place = f"objective.parts.{name}" if beside else kind
    chosen = f"'objectives={{loss: cross_entropy, {name}: {name}}}'" if beside else f"{kind}={name}"
    overrides = [chosen, *(() if beside else companions(plugin))]
    changes = []
    for parameter in plugin.describe().parameters:
        path = f"{place}.{parameter.name}"
        if parameter.many and kind == "objective":
            overrides += [f"+{kind}@{path}.loss=cross_entropy", f"+{kind}@{path}.share=zero_weights"]
        elif parameter.many and parameter.default is REQUIRED:
            group = f"+{kind}/{parameter.name}@{path}"
            overrides += [f"{group}.search=openai_es", f"{group}.tune=adam"]
        elif parameter.default is REQUIRED and parameter.nested is None:
            overrides.append(
                f"{path}={'mine.csv' if parameter.name == 'path' else 'AdamW' if kind == 'strategy' else 1}"
            )
        elif type(parameter.default) in CHANGED and parameter.nested is None:
            changes.append(f"{path}={CHANGED[type(parameter.default)](parameter.default)}")
    return [*overrides, *changes[:1]]


def companions(plugin: registry.Plugin) -> list[str]:
    """What the default job must be changed in, so that the plugin fits: task, gradient, encoding."""
    loaded = plugin.load()
    if plugin.kind == "dataset" and plugin.name in ("diabetes", "friedman", "tones", "adding", "detour"):
        return [FIT["regression"], "strategy=adam"]
    if plugin.kind == "objective" and getattr(loaded, "tasks", None) == frozenset({"regression"}):
        return ["dataset=diabetes", "strategy=adam"]
    if plugin.kind == "model" and hasattr(loaded, "conformance"):
        fitting = loaded.conformance["problem"]
        return [*(f"{part}={config['name']}" for part, config in fitting.items()), "strategy=adam"]
    several = [f"'{one}'" for one in getattr(loaded, "showcase", ()) if one.startswith("objectives=")]
    if several:
        return several
    if plugin.name == "split":
        return ["'+strategy.patterns.search=\"*bias\"'"]
    needs_search = plugin.kind == "encoding" or (plugin.kind == "objective" and not loaded.differentiable)
    return ["strategy=openai_es"] if needs_search else []


def shown_type(parameter: Parameter) -> str:
    """A setting's type as a cell."""
    if parameter.choices:
        return ", ".join(f"`{choice}`" for choice in parameter.choices)
    if parameter.nested:
        return f"{parameter.nested}{'s by name' if parameter.many else ''}"
    name = (
        parameter.type.__name__ if isinstance(parameter.type, type) and not hasattr(parameter.type, "__args__") else ""
    )
    return f"`{name or str(parameter.type).replace('typing.', '')}`".replace("|", "\\|")


def shown_default(parameter: Parameter) -> str:
    """A setting's default as a cell."""
    if parameter.preset:
        return f"`{parameter.preset}`"
    if parameter.default is REQUIRED:
        return "none: give one"
    words = {"None": "null", "True": "true", "False": "false"}
    return f"`{words.get(str(parameter.default), parameter.default)}`"


def pages() -> dict[Path, str]:
    """Every page that is made, by its path."""
    return {DOCS / path: text for path, text in [*contract_pages(), ("plugins.md", plugins_page())]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only say which pages are stale")
    check = parser.parse_args().check
    made = pages()
    left = {path for path in (DOCS / "contracts").glob("*.md") if path not in made}
    stale = [path for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if check:
        for path in sorted({*stale, *left}):
            print(f"{path.relative_to(DOCS.parent)} is stale: run python scripts/tools/make_docs.py")
        sys.exit(bool(stale or left))
    (DOCS / "contracts").mkdir(exist_ok=True)
    for path in left:
        path.unlink()
    for path in stale:
        path.write_text(made[path], encoding="utf-8")


if __name__ == "__main__":
    main()
