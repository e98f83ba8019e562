"""The process in which other people's code is run: reads a request, writes a line of JSON for each item.

What the items print, by Python or below it, is caught: the lines go through a copy of standard output.
"""

from __future__ import annotations

import gc
import inspect
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from hybridopt.composition import kinds, registry
from hybridopt.composition.describe import from_object
from hybridopt.errors import HybridoptError
from hybridopt.programs.plugins.settings import setting

LONGEST = 2000  # characters of noise that are reported

Item = Mapping[str, Any]


def main() -> None:
    """Answer the request on standard input."""
    request = json.load(sys.stdin)
    task = TASKS[request["task"]]
    if task in (load, show):
        gc.disable()  # they import, and nothing else: looking through what is there took a third of the time
    with os.fdopen(os.dup(1), "w") as out:
        for item in request["items"]:
            answer = attempt(task, item)
            out.write(json.dumps(answer) + "\n")
            out.flush()


def attempt(task: Callable[[Item], Any], item: Item) -> dict[str, Any]:
    """The answer to one item: value, fault and noise."""
    value, fault = None, None
    with caught() as noise:
        try:
            value = task(item)
        except HybridoptError as error:
            value, fault = {}, str(error)
        except (Exception, SystemExit) as error:
            value, fault = {}, f"it raises {type(error).__name__} ({' '.join(str(error).split())})"
    return {"value": value, "fault": fault, "noise": noise()[:LONGEST]}


@contextmanager
def caught() -> Iterator[Callable[[], str]]:
    """Inside, what is printed goes into a file that is read afterwards."""
    with tempfile.TemporaryFile("w+b") as file:
        kept = [os.dup(1), os.dup(2)]
        _flush()
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        text: list[str] = []
        try:
            yield lambda: "".join(text)
        finally:
            _flush()
            for number, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, number)
                os.close(copy)
            file.seek(0)
            text.append(file.read().decode(errors="replace"))


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()


# -- tasks ------------------------------------------------------------------------------------------------------------


def load(item: Item) -> dict[str, str]:
    """Import a plugin, and see whether it is of its kind."""
    plugin = find(item)
    loaded = plugin.load()
    if not callable(loaded):
        return {"fault": f"it is no class and no function, but {type(loaded).__name__}"}
    kind = kinds.KINDS[plugin.kind]
    if inspect.isclass(loaded) and kinds.of_class(loaded) is not kind:
        return {"fault": f"it is a class that does not derive from {kind.public}"}
    from_object(loaded)
    return {}


def show(item: Item) -> dict[str, Any]:
    """What the imported object says of itself."""
    loaded = find(item).load()
    code = inspect.unwrap(loaded)
    try:
        file = f"{inspect.getsourcefile(code)}:{inspect.getsourcelines(code)[1]}"
    except (OSError, TypeError):
        file = ""
    parameters = [asdict(setting(parameter)) for parameter in from_object(loaded).parameters]
    return {"docstring": inspect.getdoc(loaded) or "", "file": file, "settings": parameters}


def check(item: Item) -> list[dict[str, str]]:
    """Run the conformance kit."""
    from hybridopt.testing import run_checks

    return [asdict(outcome) for outcome in run_checks(find(item))]


def compose(item: Item) -> dict[str, Any]:
    """Compose a job with a config that a package ships."""
    from hybridopt.composition.compose import compose

    compose(item["override"])
    return {}


def find(item: Item) -> registry.Plugin:
    """The plugin that is meant."""
    return registry.find(item["kind"], f"{item['package']}:{item['name']}")


TASKS = {"load": load, "show": show, "check": check, "compose": compose}

if __name__ == "__main__":
    main()
