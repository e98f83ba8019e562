"""The archive as files: a table, the weights, and a picture."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file
from torch import Tensor

from hybridopt.toolbox.figures import new_figure
from hybridopt_pyribs.archive import Grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write(
    folder: Path,
    archive: Grid,
    rows: np.ndarray,
    elites: Tensor,
    names: Sequence[str],
    shapes: Mapping[str, torch.Size] | None,
) -> None:
    """Write ``archive.parquet``, ``archive.safetensors`` and ``archive.png``.

    Args:
        folder: where to; it exists.
        archive: of the elites.
        rows: which of them, in the order of the files.
        elites: (n, d), in that order.
        names: of the measures.
        shapes: of each parameter, in the order of a search vector; None where an encoding stands between.
    """
    table(archive, rows, elites, names).to_parquet(folder / "archive.parquet", index=False)
    save_file(weights(elites, shapes), folder / "archive.safetensors", metadata={"measures": " ".join(names)})
    picture(archive, rows, names).savefig(folder / "archive.png", dpi=120)


def table(archive: Grid, rows: np.ndarray, elites: Tensor, names: Sequence[str]) -> pd.DataFrame:
    """A row for each elite: its cell, its measures, its loss, on how many batches, and a digest of its weights."""
    data = {name: values[rows] for name, values in archive.data(["index", "measures", "times"]).items()}
    measures = {f"measures.{name}": data["measures"][:, i] for i, name in enumerate(names)}
    digests = [hashlib.sha256(one.contiguous().view(torch.uint8).numpy()).hexdigest() for one in elites]
    return pd.DataFrame(
        {"cell": data["index"], **measures, "loss": archive.losses[rows], "batches": data["times"], "weights": digests}
    )


def weights(elites: Tensor, shapes: Mapping[str, torch.Size] | None) -> dict[str, Tensor]:
    """Each parameter of all elites (n, \\*shape) by name; in an encoding the search vectors (n, d) as ``z``."""
    if shapes is None:
        return {"z": elites.contiguous()}
    parts = elites.split([shape.numel() for shape in shapes.values()], dim=1)
    return {name: part.reshape(-1, *shapes[name]).contiguous() for name, part in zip(shapes, parts, strict=True)}


def picture(archive: Grid, rows: np.ndarray, names: Sequence[str]) -> Figure:
    """The lowest loss in each cell over the first two measures; over one, a strip."""
    dims = [*archive.dims, 1][:2]
    cells = archive.int_to_grid_index(archive.data("index")[rows])
    places = np.concatenate([cells, np.zeros((len(cells), 1), int)], axis=1)[:, :2]
    losses = np.full(dims, np.nan)
    for place, loss in zip(places[::-1], archive.losses[rows][::-1], strict=True):  # the lowest one is the last
        losses[tuple(place)] = loss
    edges = [*archive.boundaries, np.array([0.0, 1.0])][:2]
    figure = new_figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    drawn = axes.pcolormesh(*edges, losses.T, cmap="viridis_r")
    axes.set(xlabel=names[0], ylabel=names[1] if len(names) > 1 else "")
    if len(names) == 1:
        axes.set_yticks([])
    if len(names) > 2:
        axes.set_title(f"the best over {', '.join(names[2:])}", fontsize="small")
    figure.colorbar(drawn, label="loss")
    return figure
