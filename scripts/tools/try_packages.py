"""Build all packages, install them as wheels into bare environments outside of the tree, and use them there.

    python scripts/tools/try_packages.py
    python scripts/tools/try_packages.py --python 3.12 --resolution lowest-direct

First hybridopt alone, then with its extras and with every package of plugins/. The versions of the dependencies are
those of scripts/constraints.txt ("tested"), the newest that the packages allow ("highest"), or the lowest that they
declare and that have a wheel for that Python ("lowest-direct"). uv installs, from where pip is told to look for them.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from importlib.metadata import PathDistribution
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import Path as ZipPath

from packages_at_work import check_all, check_core
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = ("report", "ui", "optuna", "joblib", "system")  # without those for clusters, docs and tests
SOURCES = {"find-links": "UV_FIND_LINKS", "index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX"}
SDISTS = ("antlr4-python3-runtime",)  # have no wheels; whatever else has none for this Python is not taken
ALONE = "timm"  # installed without its dependencies, as its package's pyproject.toml says


def main() -> None:
    """Build, install, use."""
    chosen = parser().parse_args()
    environment = os.environ | uvs_sources()
    with TemporaryDirectory(prefix="hybridopt-packages-") as name:
        folder = Path(name)
        try:
            wheels = timed("built", build, folder, environment)
            for title, extras, packages, check in (
                ("core", (), wheels[:1], check_core),
                ("all", EXTRAS, wheels, check_all),
            ):
                home = timed(f"{title}: installed", install, folder / title, packages, extras, chosen, environment)
                found = len(list(home.glob("lib/*/site-packages/*.dist-info")))
                print(f"{title}: {size(home):.0f} MB in {found} packages")
                timed(f"{title}: used", check, home / "bin", folder / f"{title}-work", ROOT)
        except subprocess.CalledProcessError as failed:
            sys.exit(f"{' '.join(map(str, failed.cmd))}\nended with {failed.returncode}:\n{failed.stdout}")
        except AssertionError as error:
            sys.exit(str(error))


def build(folder: Path, environment: dict[str, str]) -> list[Path]:
    """The wheels of all packages, the core's first, each made from its source distribution, in a copy of the tree."""
    tree, out = folder / "tree", folder / "dist"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".*", "*.egg-info", "build", "outputs", "multirun"))
    projects = [tree, *sorted(path.parent for path in tree.glob("plugins/*/pyproject.toml"))]
    for project in projects:
        called(["uv", "build", "--quiet", "--out-dir", str(out), str(project)], environment)
    wheels = sorted(out.glob("*.whl"), key=lambda wheel: (not wheel.name.startswith("hybridopt-"), wheel.name))
    assert len(wheels) == len(list(out.glob("*.tar.gz"))) == len(projects), f"not every package was built: {wheels}"
    return wheels


def install(
    home: Path, wheels: Sequence[Path], extras: Sequence[str], chosen: argparse.Namespace, environment: dict[str, str]
) -> Path:
    """An environment with these wheels and the versions that are wanted of all that they declare."""
    called(["uv", "venv", "--quiet", "--python", chosen.python, str(home)], environment)
    told = ["uv", "pip", "install", "--quiet", "--compile-bytecode", "--python", str(home / "bin" / "python")]
    if chosen.resolution == "tested":
        told += ["--constraint", str(ROOT / "scripts" / "constraints.txt")]
    else:
        told += ["--resolution", chosen.resolution]
    told += ["--only-binary", ":all:", *(word for name in SDISTS for word in ("--no-binary", name))]
    needs = dict.fromkeys(need for wheel in wheels for need in declared(wheel, extras))
    alone = [need for need in needs if Requirement(need).name == ALONE]
    # by name, since uv takes the lowest version only of what it is asked for by name
    named = [need for need in needs if need not in alone and not need.startswith("hybridopt")]
    called([*told, *map(str, wheels), *named, *chosen.also], environment)
    if alone:
        called([*told, "--no-deps", *alone], environment)
    return home


def declared(wheel: Path, extras: Iterable[str]) -> Iterable[str]:
    """What a wheel requires, with some extras, as its metadata say."""
    (info,) = (path for path in ZipPath(wheel).iterdir() if path.name.endswith(".dist-info"))
    for text in PathDistribution(info).requires or ():
        need = Requirement(text)
        wanted = {"", ALONE, *(extras if wheel.name.startswith("hybridopt-") else ())}
        if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in wanted):
            yield text.partition(";")[0].strip()


def uvs_sources() -> dict[str, str]:
    """Where pip is told to look for packages, as uv is told so; what uv has been told by itself stands."""
    if any(name in os.environ for name in SOURCES.values()):
        return {}
    listed = called([sys.executable, "-m", "pip", "config", "list"], dict(os.environ))
    places = {key: value for key, value in re.findall(r"\.([\w-]+)='(.*)'$", listed, re.MULTILINE) if key in SOURCES}
    found = {SOURCES[key]: value.replace("\\n", " ").strip() for key, value in places.items()}
    return found | ({"UV_INDEX_STRATEGY": "unsafe-best-match"} if found else {})


def size(folder: Path) -> float:
    """Megabytes of the files in a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*")) / 1e6


def called(command: Sequence[str], environment: dict[str, str]) -> str:
    """What a command prints.

    Raises:
        CalledProcessError: it fails.
    """
    environment = environment | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"}
    done = subprocess.run(
        command, env=environment, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    return done.stdout


def timed(title: str, function, *arguments):
    """What a function gives; how long it took is printed."""
    started = time.monotonic()
    result = function(*arguments)
    print(f"{title} in {time.monotonic() - started:.0f} s", flush=True)
    return result


def parser() -> argparse.ArgumentParser:
    """What can be typed."""
    made = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    made.add_argument("--python", default=sys.executable, help="version or program (this one)")
    made.add_argument("--resolution", choices=["tested", "highest", "lowest-direct"], default="tested")
    made.add_argument("--also", nargs="*", default=[], help="further requirements, such as torch==2.13.0")
    return made


if __name__ == "__main__":
    main()
