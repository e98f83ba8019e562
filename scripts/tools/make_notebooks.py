"""Run the notebooks in docs/notebooks from top to bottom, and keep what they show.

    python scripts/tools/make_notebooks.py
    python scripts/tools/make_notebooks.py newcomer

Each runs in an empty folder, whose path is left out of what is kept, as are progress bars, warnings and dates.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parents[2] / "docs" / "notebooks"
SECONDS = 600  # a cell


def executed(path: Path, folder: Path) -> nbformat.NotebookNode:
    """A notebook with the outputs of a run in a folder.

    Raises:
        CellExecutionError: a cell has failed.
    """
    notebook = nbformat.read(path, as_version=4)
    settings = {"timeout": SECONDS, "record_timing": False, "coalesce_streams": True}
    NotebookClient(notebook, **settings, resources={"metadata": {"path": folder}}).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [kept(output, folder) for output in cell.outputs if output.get("name") != "stderr"]
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"], "language_info": {"name": "python"}}
    return notebook


def kept(output: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """An output without the path of the folder that it was made in; of one that is shown as HTML, that alone."""
    if "text/html" in output.get("data", {}):
        output.data.pop("text/plain", None)
    text = json.dumps(output).replace(f"{folder}/", "").replace(str(folder), ".").replace("\\r\\n", "\\n")
    return nbformat.from_dict(json.loads(text))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="of notebooks; all of them if left out")
    names = parser.parse_args().names or sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
    for name in names:
        path = NOTEBOOKS / f"{name}.ipynb"
        with TemporaryDirectory() as folder:
            nbformat.write(executed(path, Path(folder).resolve()), path)


if __name__ == "__main__":
    main()
