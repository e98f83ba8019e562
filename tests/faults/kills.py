"""The program in processes that are killed: at a random time, or at a named point of what they do.

Each process is a fork of this one, which has imported what the program needs, so that a try costs no import. Nothing in
hybridopt knows of it: in the fork, the function that a point names kills the process before, in or after a call.
"""

from __future__ import annotations

import fnmatch
import os
import pkgutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from hybridopt.programs import run as program

GONE = -signal.SIGKILL  # the exit code of what was killed
TIME = 600.0  # seconds after which a process hangs
LOADED = (  # what the program imports late
    "hybridopt.execution.experiment",
    "hybridopt.execution.table",
    "hybridopt.report.make",
    "hybridopt.report.page",
    "hybridopt.sweep.grid",
    "hybridopt.sweep.parent",
    "hybridopt.sweep.session",
    "mlflow.models",
    "mlflow.pytorch",
    "mlflow.store.tracking.sqlalchemy_store",
    "matplotlib.backends.backend_agg",
    "hydra._internal.core_plugins.basic_launcher",
    "torch._dynamo",
    "torch.export",
)


def load() -> None:
    """Import what the program needs, once and for all forks."""
    for name in LOADED:
        pkgutil.resolve_name(name)


@dataclass(frozen=True)
class Point:
    """A moment at which a process is killed.

    Args:
        place: the function, as "package.module:name" or "package.module:Class.name".
        when: "before" or "after" a call, or "half": the call writes half of what it should.
        file: of calls of ``os``, those alone whose target has a name like this.
        nth: which of the calls.
    """

    place: str
    when: str = "after"
    file: str = ""
    nth: int = 1

    def __str__(self) -> str:
        what = f"{self.place.partition(':')[2]} of {self.file}" if self.file else self.place.rpartition(".")[2]
        return f"{self.when} {what.replace(':', '.')}" + (f" no. {self.nth}" if self.nth > 1 else "")

    def concerns(self, arguments: Sequence[Any]) -> bool:
        """Whether a call is one of those that count."""
        return not self.file or fnmatch.fnmatch(_target(arguments), self.file)


def write(file: str, when: str = "half", nth: int = 1) -> Point:
    """In the atomic write of a file: half of it is written, or all before it is renamed, or it is just renamed."""
    return Point("os:replace", when, file, nth)


def client(call: str, when: str = "after", nth: int = 1) -> Point:
    """At a call of MLflow's client."""
    return Point(f"mlflow.tracking.client:MlflowClient.{call}", when, nth=nth)


def arm(point: Point) -> None:
    """From now on this process is killed at a point, wherever the function was imported to."""
    where, _, path = point.place.partition(":")
    *owners, name = path.split(".")
    owner = pkgutil.resolve_name(f"{where}:{'.'.join(owners)}") if owners else pkgutil.resolve_name(where)
    former, calls = getattr(owner, name), 0

    def deadly(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += point.concerns(args)
        if not point.concerns(args) or calls < point.nth:
            return former(*args, **kwargs)
        if point.when == "after":
            former(*args, **kwargs)
        if point.when == "half":
            _half(former, args)
        return die()

    for module in list(sys.modules.values()) if not owners else ():
        for other, value in list(getattr(module, "__dict__", {}).items()):
            if value is former:
                setattr(module, other, deadly)
    setattr(owner, name, deadly)


def die() -> NoReturn:
    """What a kill by the system does: nothing is tidied up."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("not reached")


def _target(arguments: Sequence[Any]) -> str:
    """The name of the file that a call of ``os`` is about: its last path, or what its descriptor is open for."""
    if isinstance(arguments[0], int):
        return os.path.basename(os.readlink(f"/proc/self/fd/{arguments[0]}"))
    return os.path.basename(os.fspath(arguments[-1]))


def _half(former: Callable[..., Any], arguments: Sequence[Any]) -> None:
    """Leave what a kill in the middle of a write leaves: half of a file, of a line, or of the files of a folder."""
    first = arguments[0]
    if isinstance(first, int):
        former(first, arguments[1][: len(arguments[1]) // 2])
    elif os.path.isdir(first):
        files = sorted(path for path in Path(first).rglob("*") if path.is_file())
        for path in files[len(files) // 2 :]:
            path.unlink()
    else:
        os.truncate(first, os.path.getsize(first) // 2)


@dataclass
class Ended:
    """A process that has ended."""

    code: int
    said: str
    seconds: float


class Program:
    """``hybridopt`` with some arguments, in a process and a process group of its own.

    Args:
        arguments: what is typed.
        folder: where it is typed; the user's state is there, too.
        prepare: called in the process first, such as :func:`arm`.
    """

    def __init__(self, arguments: Sequence[str], folder: Path, prepare: Callable[[], None] | None = None):
        self.output = folder / "said.txt"
        self.began = time.monotonic()
        sys.stdout.flush()
        sys.stderr.flush()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python 3.12 of forks beside threads
            self.pid = os.fork()
        if self.pid == 0:
            _become(arguments, folder, self.output, prepare)

    def kill(self, whole_group: bool = True) -> None:
        """Kill it, alone or with what it has started."""
        (os.killpg if whole_group else os.kill)(self.pid, signal.SIGKILL)

    def wait(self, seconds: float = TIME) -> Ended | None:
        """How it ended; None where it has not, by then."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                said = self.output.read_text(encoding="utf-8", errors="replace")
                return Ended(os.waitstatus_to_exitcode(status), said, time.monotonic() - self.began)
            time.sleep(0.005)
        return None

    def end(self) -> Ended:
        """How it ended by itself.

        Raises:
            TimeoutError: it did not, and was killed.
        """
        ended = self.wait()
        if ended is None:
            self.kill()
            self.wait()
            raise TimeoutError(f"It hangs: {self.output.read_text()}")
        return ended

    def is_running(self) -> bool:
        """Whether it, or anything that it has started, is."""
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def sweep_up(self) -> bool:
        """Kill what it has left running; whether there was anything."""
        left = self.is_running()
        if left:
            self.kill()
        return left


def _become(arguments: Sequence[str], folder: Path, output: Path, prepare: Callable[[], None] | None) -> NoReturn:
    """Be the program: what a new process of it would be after its imports."""
    code = 1
    try:
        os.setsid()
        os.chdir(folder)
        for number in (1, 2):
            os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), number)
        sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115
        code = _main(arguments, folder, prepare)
    except BaseException:
        with suppress(BaseException):
            traceback.print_exc()
    finally:
        with suppress(BaseException):  # such as of a disk that is full
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _main(arguments: Sequence[str], folder: Path, prepare: Callable[[], None] | None) -> int:
    os.environ.update(XDG_STATE_HOME=str(folder / "state"), OMP_NUM_THREADS="1", HYDRA_MAIN_MODULE="")
    for name in ("MLFLOW_TRACKING_URI", "HYDRA_MAIN_MODULE", "PYTEST_CURRENT_TEST"):
        os.environ.pop(name, None)
    warnings.resetwarnings()
    warnings.simplefilter("ignore")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    sys.argv = ["hybridopt", *arguments]
    sys.modules["__main__"].__spec__ = find_spec("hybridopt.__main__")  # by it, Lightning starts the other ranks
    if prepare is not None:
        prepare()
    try:
        program.main()
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    finally:
        _end_workers()
    return 0


def _end_workers() -> None:
    """What joblib does when a process exits."""
    pool = sys.modules.get("joblib.externals.loky.reusable_executor")
    if pool is not None and pool._executor is not None:
        pool._executor.shutdown(wait=True, kill_workers=True)
