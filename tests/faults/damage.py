"""Files that are damaged, disks that are full at so many bytes, and what a run is allowed to make of it: an equal run,
or one sentence."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import compare
from chains import Case, Ground
from kills import GONE, Ended, Program, arm, write

HALF_DONE = write("last.ckpt", "after", 3)
OTHER = "other"  # the directory of another run, in the same store


def emptied(path: Path, other: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path, other: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path: Path, other: Path) -> None:
    content = bytearray(path.read_bytes() or b"0")
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def a_folder(path: Path, other: Path) -> None:
    path.unlink()
    path.mkdir()


def anothers(path: Path, other: Path) -> None:
    if other.exists():
        shutil.copy(other, path)


DAMAGES: list[Callable[[Path, Path], None]] = [emptied, cut, flipped, a_folder, anothers]


class Damaged:
    """Runs that can be damaged: one that has finished, one that is half done, each beside another run.

    Args:
        ground: where they are made.
        case: the run, whose directory is called run.
        seed: of the other run, as an override.
    """

    def __init__(self, ground: Ground, case: Case, seed: str = "seed=9"):
        self.ground, self.case = ground, case
        self.finished = ground.folder()
        other = [f"hydra.run.dir={OTHER}" if one == "hydra.run.dir=run" else one for one in case.arguments]
        for arguments in ([*other, seed], case.arguments):
            ended = Program(arguments, self.finished).end()
            assert ended.code == 0, ended.said
        self.expected = compare.left(self.finished)
        self.half_done = ground.folder()
        assert Program([*other, seed], self.half_done).end().code == 0
        assert Program(case.arguments, self.half_done, partial(arm, HALF_DONE)).end().code == GONE

    def files(self, origin: Path) -> list[str]:
        """The names of the files of the run."""
        return [name.removeprefix("run/") for name in compare.files(origin) if name.startswith("run/")]

    def resumed(self, origin: Path, name: str, damage: Callable[[Path, Path], None]) -> tuple[Ended, list[str]]:
        """Resume the run with a damaged file: how that ends, and what differs where it says that all is well.

        Afterwards all is as it was.
        """
        kept = self.ground.folder() / "kept"
        shutil.copytree(origin, kept)
        try:
            damage(origin / "run" / name, origin / OTHER / name)
            ended = Program(["resume=run"], origin).end()
            return ended, [] if ended.code else compare.differences(self.expected, compare.left(origin))
        finally:
            shutil.rmtree(origin)
            kept.rename(origin)  # so that what names its place stays right


def limit(size: int) -> Callable[[], None]:
    """No file may grow beyond ``size`` bytes, as on a disk that is full there."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    return limited
