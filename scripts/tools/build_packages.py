"""Build hybridopt and the packages in plugins/ so that whoever builds the same commit gets the same files.

    python scripts/tools/build_packages.py --into dist
    python scripts/tools/build_packages.py --into dist --twice

Each package is built from what git has of the commit, by the setuptools of this environment, with the time of the
commit in place of the time of the build (SOURCE_DATE_EPOCH). SHA256SUMS has the digests. ``--twice`` builds all in
another folder again, a while later, and exits with 1 where a file differs.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SUMS = "SHA256SUMS"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, default=ROOT / "dist", help="an empty folder, or one that is made (dist)")
    parser.add_argument("--twice", action="store_true", help="build again, and compare")
    parser.add_argument("--only", metavar="PACKAGE", action="append", help="such as hybridopt-cma; all if left out")
    chosen = parser.parse_args()
    if chosen.into.exists() and any(chosen.into.iterdir()):
        sys.exit(f"There are files in {chosen.into}: name an empty folder by --into.")
    build_all(chosen.into, chosen.only)
    if chosen.twice:
        with tempfile.TemporaryDirectory() as again:
            build_all(Path(again), chosen.only)
            differing = [name for name, digest in digests(chosen.into).items() if digests(Path(again))[name] != digest]
        if differing:
            sys.exit(f"These files differ when they are built again: {', '.join(differing)}.")
    lines = [f"{digest}  {name}\n" for name, digest in digests(chosen.into).items()]
    (chosen.into / SUMS).write_text("".join(lines), encoding="utf-8")
    print("".join(lines), end="")


def build_all(into: Path, only: list[str] | None) -> None:
    """Build the packages of the commit into a folder, each as a source archive and, from that, as a wheel."""
    into.mkdir(parents=True, exist_ok=True)
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or git("log", "-1", "--format=%ct"))
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        archive = git_bytes("archive", "--format=tar", "HEAD")
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(tree, filter="data")
        for project in [tree, *sorted(path.parent for path in tree.glob("plugins/*/pyproject.toml"))]:
            name = "hybridopt" if project == tree else project.name
            if not only or name in only:
                build(project, into, epoch)


def build(project: Path, into: Path, epoch: int) -> None:
    """Build one package."""
    before = set(into.iterdir())
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(into), str(project)]
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(epoch)}
    done = subprocess.run(command, env=environment, umask=0o022, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{project.name} cannot be built:\n{done.stdout}{done.stderr}")
    (source,) = {path for path in into.glob("*.tar.gz") if path not in before}
    source.write_bytes(as_of(source, epoch))


def as_of(source: Path, epoch: int) -> bytes:
    """A source archive without what differs between builds: times, owners, order; setuptools leaves these in it."""
    plain = io.BytesIO()
    with tarfile.open(source) as files, tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as sorted_:
        for member in sorted(files.getmembers(), key=lambda member: member.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = epoch, 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            sorted_.addfile(member, files.extractfile(member))
    return gzip.compress(plain.getvalue(), mtime=epoch)


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file in a folder, by its name."""
    files = sorted(path for path in folder.iterdir() if path.name != SUMS)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def git(*arguments: str) -> str:
    return git_bytes(*arguments).decode().strip()


def git_bytes(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True).stdout


if __name__ == "__main__":
    main()
