"""What try_packages.py does with an installation: the programs, and an experiment of each package, in empty folders."""

from __future__ import annotations

import os
import re
import subprocess
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SMALL = ["budget.forwards=3e4"]
SWEEP = ["hybridopt", "-m", "strategy=adam,openai_es", "seeds=2", *SMALL]
# Commands of each package, in a folder of its own; @ is the folder of the package in the tree.
OF_PACKAGES = {
    "hybridopt-cma": [["hybridopt", "experiment=cma_subspace", *SMALL]],
    "hybridopt-combinatorial": [["hybridopt", "experiment=tsp", *SMALL]],
    "hybridopt-evotorch": [["hybridopt", "strategy=evotorch", *SMALL]],
    "hybridopt-example": [["hybridopt", "strategy=one_plus_one_es", *SMALL]],
    "hybridopt-gymnasium": [["hybridopt", "experiment=cartpole_openai_es", *SMALL]],
    "hybridopt-huggingface": [
        ["python", "@/scripts/make_digits.py", "digits28"],
        ["hybridopt", "dataset=mnist", "dataset.path=digits28", "model=cnn", "strategy=adam", *SMALL],
    ],
    "hybridopt-mnist1d": [["hybridopt", "dataset=mnist1d", "model=mnist1d_mlp", "strategy=adam", *SMALL]],
    "hybridopt-neat": [["hybridopt", "experiment=neat_xor", "budget.marks=10", *SMALL]],
    "hybridopt-optimizers": [["hybridopt", "strategy=schedule_free", *SMALL]],
    "hybridopt-pymoo": [["hybridopt", "experiment=sparse_front", "budget.forwards=2e5"]],
    "hybridopt-pyribs": [["hybridopt", "experiment=map_elites_digits", "budget.forwards=2e5"]],
    "hybridopt-reproductions": [["hybridopt-study", "run", "least_squares", "profile=smoke"]],
    "hybridopt-timm": [
        ["hybridopt", "model=timm", "model.architecture=lcnet_035", "strategy=adam", "budget.forwards=2e3"],
    ],
    "hybridopt-transformers": [
        ["python", "@/scripts/make_docstrings.py", "docstrings"],
        ["hybridopt", "model=transformer", "model.checkpoint=docstrings/tiny", "dataset=tokenised",
         "dataset.path=docstrings/pretraining.csv", "dataset.tokeniser=docstrings/tiny", "dataset.length=32",
         "strategy=adam", "budget.forwards=5e3"],
    ],
}  # fmt: skip
ASKED_FOR = re.compile(r"\s*|\s*(training|sweep)?\s*\d+%\|.*")  # an empty line, or a progress bar
PATIENCE = 900  # seconds of a command


def check_core(programs: Path, work: Path, root: Path) -> None:
    """hybridopt alone runs and sweeps, and says what to install for the rest.

    Args:
        programs: the folder of the installed ones.
        work: a folder to make and to work in.
        root: the tree.
    """
    here = Here(programs, work)
    assert "picture    none" in here.first(["hybridopt", "strategy=adam", *SMALL])
    assert "report     none" in here.run(SWEEP)
    assert "hybridopt[report]" in here.run(["hybridopt-report"], code=1)
    assert "hybridopt[ui]" in here.run(["hybridopt-ui"], code=1)


def check_all(programs: Path, work: Path, root: Path) -> None:
    """All programs and packages do what they are for; arguments are those of :func:`check_core`."""
    names = {folder.name for folder in (root / "plugins").iterdir() if (folder / "pyproject.toml").exists()}
    assert names == set(OF_PACKAGES), f"OF_PACKAGES of {__file__} has commands for other packages than there are"
    here = Here(programs, work)
    here.first(["hybridopt", "strategy=adam", *SMALL])
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        started = [pool.submit(check, here.beside(check.__name__)) for check in (sweeps, completes, studies, examines)]
        for name, commands in OF_PACKAGES.items():
            started.append(pool.submit(experiments, here.beside(name), commands, root / "plugins" / name))
    failures = [str(error) for each in started if (error := each.exception()) is not None]
    assert not failures, "\n\n".join(failures)


class Here:
    """An empty folder in which programs of an environment are run, with an empty home.

    Args:
        programs: the folder of the programs.
        folder: to make.
    """

    def __init__(self, programs: Path, folder: Path):
        self.programs, self.folder = programs, folder
        folder.mkdir()
        home = folder.parent / f"home-{programs.parent.name}"
        home.mkdir(exist_ok=True)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "MPL", "VIRTUAL_ENV"))}
        own = {"HOME": str(home), "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
        self.environment = kept | own | {"HF_HUB_OFFLINE": "1"}

    def beside(self, name: str) -> Here:
        """Another folder, with the same home."""
        return Here(self.programs, self.folder.with_name(f"{self.folder.name}-{name}"))

    def run(self, command: Sequence[str], code: int = 0, **variables: str) -> str:
        """What a command prints, which has to end with a code."""
        done = subprocess.run(
            [self.programs / command[0], *command[1:]], cwd=self.folder, env=self.environment | variables, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE,
        )  # fmt: skip
        assert done.returncode == code, f"{' '.join(command)}\nended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def first(self, command: Sequence[str]) -> str:
        """What a run prints, which is a progress bar and a table, and nothing that comes of its being the first."""
        bar, blank, table = self.run(command).partition("\n ")
        unasked = [line for line in re.split(r"[\r\n]", bar) if not ASKED_FOR.fullmatch(line)]
        assert not unasked, f"{' '.join(command)}\nprints what nobody has asked for:\n" + "\n".join(unasked)
        return blank + table


def experiments(here: Here, commands: Sequence[Sequence[str]], package: Path) -> None:
    """Commands of a package."""
    for command in commands:
        here.run([word.replace("@", str(package)) if word.startswith("@/") else word for word in command])


def sweeps(here: Here) -> None:
    """A sweep, its report, and MLflow's UI."""
    here.run(SWEEP)
    here.run(["hybridopt-report"])
    assert (here.folder / "report" / "report.html").stat().st_size > 0
    command = [here.programs / "hybridopt-ui", "--port", "0"]
    with subprocess.Popen(
        command, cwd=here.folder, env=here.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as server:
        said = []
        try:
            while "Ctrl-C" not in (line := server.stdout.readline()):
                said.append(line)
                assert line, f"hybridopt-ui does not start:\n{''.join(said)}"
            place = re.search(r"http://[\d.:]+", "".join(said))[0]
            with urllib.request.urlopen(place, timeout=60) as page:
                assert b"MLflow" in page.read()
        finally:
            server.terminate()
    assert server.returncode == 0, f"hybridopt-ui ended with {server.returncode}"


def studies(here: Here) -> None:
    """A study, from its arms to its page."""
    assert "report_errors" in here.run(["hybridopt-study", "list"])
    here.run(["hybridopt-study", "run", "closed_form", "profile=smoke"])
    assert list(here.folder.rglob("closed_form.html"))


def examines(here: Here) -> None:
    """All plugins are sound."""
    here.run(["hybridopt-plugins", "doctor"])


def completes(here: Here) -> None:
    """Shells complete."""
    asked = ["hybridopt", "-sc", "install=bash"], ["hybridopt-plugins", "completion"], ["hybridopt-study", "completion"]
    for command in asked:
        assert "complete " in here.run(command)
    line = "hybridopt strategy=ada"
    offered = here.run(["hybridopt", "-sc", "query=bash"], COMP_LINE=line, COMP_POINT=str(len(line)))
    assert "strategy=adam" in offered
