"""The cells of a study: computed once, kept in a file each, and taken from there as long as nothing has changed."""

from __future__ import annotations

import hashlib
import inspect
import json
import multiprocessing
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

from hybridopt.core.study import Cell, Study
from hybridopt.errors import PluginError, brief
from hybridopt.tracking.files import write_atomically

FOLDER = "cells"


def compute_all(
    study: Study, cells: Mapping[str, Cell], directory: Path, workers: int = 1, again: bool = False
) -> dict[str, Cell]:
    """All cells, each from its file where it was computed before.

    A cell is computed again where its arguments, or the file that defines the study, have changed.

    Args:
        study: whose cells they are.
        cells: name -> arguments.
        directory: the study's; files are kept in a folder below it.
        workers: processes that compute at a time; 1 is this one.
        again: whether all are computed again.

    Raises:
        PluginError: a cell cannot be computed, or gives what JSON does not hold; those that were computed are kept.
    """
    from tqdm import tqdm

    places = {name: _place(study, name, arguments, directory / FOLDER) for name, arguments in cells.items()}
    found = {name: None if again else _kept(place) for name, place in places.items()}
    todo = {name: cells[name] for name, content in found.items() if content is None}
    done = len(cells) - len(todo)
    with tqdm(total=len(cells), initial=done, desc="cells", unit="", disable=not todo or None, file=sys.stderr) as bar:
        for name, content in _computed(study, todo, workers):
            places[name].parent.mkdir(parents=True, exist_ok=True)
            write_atomically(places[name], content)
            found[name] = json.loads(content)
            bar.update()
    return {name: content for name, content in found.items() if content is not None}


def _computed(study: Study, cells: Mapping[str, Cell], workers: int) -> Iterator[tuple[str, str]]:
    """Name and content of each, as they come."""
    if workers == 1 or len(cells) < 2:
        yield from ((name, _compute(study, name, arguments)) for name, arguments in cells.items())
        return
    context = multiprocessing.get_context("spawn")  # threads of this one may hold locks
    with ProcessPoolExecutor(min(workers, len(cells)), context) as pool:
        waiting: dict[Future[str], str] = {
            pool.submit(_compute, study, name, arguments): name for name, arguments in cells.items()
        }
        try:
            while waiting:
                done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                yield from ((waiting.pop(each), each.result()) for each in done)
        finally:
            pool.shutdown(cancel_futures=True)


def _compute(study: Study, name: str, arguments: Cell) -> str:
    """The content of a cell, computed by one thread, so that cells may run beside each other."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return json.dumps(study.compute(**arguments), allow_nan=False)
    except Exception as error:
        raise PluginError(
            f"The cell {name!r} of {type(study).__name__} cannot be computed ({brief(error)}): mend its compute; cells "
            "that were computed are kept."
        ) from error
    finally:
        torch.set_num_threads(threads)


def _place(study: Study, name: str, arguments: Cell, folder: Path) -> Path:
    """Where a cell is kept: named by what it computes."""
    asked = json.dumps([name, dict(arguments), _source(type(study))], sort_keys=True)
    return folder / f"{hashlib.sha256(asked.encode()).hexdigest()[:16]}.json"


def _source(cls: type) -> str:
    """The digest of the file that defines a study; empty where there is none."""
    try:
        return hashlib.sha256(Path(inspect.getfile(cls)).read_bytes()).hexdigest()
    except (OSError, TypeError):
        return ""


def _kept(place: Path) -> Any:
    """What a file holds; None where it is not there, or damaged, so that it is made again."""
    try:
        return json.loads(place.read_bytes())
    except (OSError, ValueError):
        return None
