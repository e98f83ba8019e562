"""``hybridopt-ui``: MLflow's UI on this machine, with the right store, opened at the latest sweep."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import webbrowser
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any, cast

from hybridopt.errors import HybridoptError, TrackingError
from hybridopt.programs.pipes import ending_with_reader
from hybridopt.programs.version import add_flag
from hybridopt.toolbox.credentials import address, masked, reveal
from hybridopt.toolbox.extras import demand
from hybridopt.tracking.reading import Reader
from hybridopt.tracking.store import prepare_store

HOST = "127.0.0.1"
PORT = 5000  # MLflow's own
TRIED = 20  # ports after it, where it is in use
PATIENCE = 120.0  # seconds until the server has to answer; 12 were measured
PAUSE = 5  # seconds that the server has to end by itself
KEPT = 50  # of its last lines, for the sentence that says why it does not start
STORE = "MLFLOW_BACKEND_STORE_URI"  # read by mlflow server; what is in the command line, anybody sees in ps
LEAN = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # fifteen processes less, of 2 GB together

# Runs the server, and ends it with all of its processes as soon as the pipe from hybridopt-ui is closed: the system
# closes it in whatever way hybridopt-ui ends, SIGKILL included.
GUARD = f"""
import os, signal, subprocess, sys, threading
signal.signal(signal.SIGTERM, lambda *_: None)
server = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
def follow():
    os.read(0, 1)  # unbuffered: no lock is held when the program ends first
    os.killpg(0, signal.SIGTERM)
    try:
        server.wait({PAUSE})
    except subprocess.TimeoutExpired:
        pass
    os.killpg(0, signal.SIGKILL)
threading.Thread(target=follow, daemon=True).start()
sys.exit(server.wait())
"""


@ending_with_reader()
def main(arguments: Sequence[str] | None = None) -> None:
    """The console program."""
    chosen = parser().parse_args(arguments)
    try:
        uri = prepare_store(chosen.uri, create=False)
        pages = latest_pages(uri)
        if uri.startswith("http"):
            tell(address(uri), pages, chosen.open)
            return
        demand("ui", "hybridopt-ui")
        with serving(uri, free_port(chosen.port)) as (place, server):
            tell(place, pages, chosen.open)
            print("Ctrl-C ends it.", flush=True)
            server.wait()
    except HybridoptError as error:
        sys.exit(masked(str(error)))
    except KeyboardInterrupt:
        return


@contextmanager
def serving(uri: str, port: int) -> Iterator[tuple[str, subprocess.Popen]]:
    """A server of MLflow on loopback, which is gone afterwards with all of its processes.

    Args:
        uri: the store.
        port: a free one.

    Yields:
        Its address, and its first process.

    Raises:
        TrackingError: it does not start.
    """
    command = [sys.executable, "-c", GUARD, sys.executable, "-m", "mlflow", "server", "--workers", "1"]
    command += ["--host", HOST, "--port", str(port)]
    server = subprocess.Popen(
        command, env={**os.environ, **LEAN, STORE: reveal(uri)}, start_new_session=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    said = LastLines(cast(IO[bytes], server.stdout))
    former = _raising_on_terminate()
    try:
        _wait(server, port, said)
        yield f"http://{HOST}:{port}", server
    finally:
        cast(IO[bytes], server.stdin).close()  # the guard ends the server
        with suppress(subprocess.TimeoutExpired):
            server.wait(PAUSE + 2)
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)  # its children outlive it by seconds
        said.ended(PAUSE)
        if former is not None:
            signal.signal(signal.SIGTERM, former)


def free_port(wanted: int) -> int:
    """The port, or the next one that nobody uses; 0 is any.

    Raises:
        TrackingError: they are all in use.
    """
    for port in [0] if wanted == 0 else range(wanted, wanted + TRIED):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return probe.getsockname()[1]
    raise TrackingError(f"The ports {wanted} to {wanted + TRIED - 1} are in use: type --port 0 for any that is free.")


def latest_pages(uri: str) -> dict[str, str]:
    """The pages of the latest sweep, relative to the UI's address; the list of experiments where there is none."""
    reader = Reader(uri)
    try:
        sweep = reader.sweep(None)
    except TrackingError:
        return {"experiments": "#/experiments"}
    return reader.pages(sweep)


def tell(place: str, pages: Mapping[str, str], show: bool) -> None:
    """Say the addresses, and open the first in a browser where that is asked for."""
    for name, page in pages.items():
        print(f"{name:<8} {place}/{page}", flush=True)
    if show and not webbrowser.open(f"{place}/{next(iter(pages.values()))}"):
        print("No browser was found: open an address by hand.")


def parser() -> argparse.ArgumentParser:
    """What can be typed."""
    made = add_flag(argparse.ArgumentParser(prog="hybridopt-ui", description=str(__doc__).split(": ", 1)[1]))
    made.add_argument("--uri", help="the MLflow store (MLFLOW_TRACKING_URI, or mlflow.db in this directory)")
    made.add_argument("--port", type=int, default=PORT, help=f"{PORT}, or the next free one; 0 is any")
    made.add_argument("--open", action="store_true", help="open it in a browser")
    return made


class LastLines:
    """Reads all that a process says, so that it never waits for a reader, and keeps the end of it.

    A pipe holds 64 KB, which are a few hundred requests to MLflow's server: from then on it stands still.

    Args:
        stream: the process's output; it is read until it ends, and then closed.
    """

    def __init__(self, stream: IO[bytes]):
        self._kept: deque[bytes] = deque(maxlen=KEPT)
        self._reader = threading.Thread(target=self._read, args=[stream], daemon=True)
        self._reader.start()

    def ended(self, patience: float) -> str:
        """The last line that says something, once the process has said all or ``patience`` seconds have passed."""
        self._reader.join(patience)
        lines = [line.decode(errors="replace").strip() for line in list(self._kept)]
        return next(filter(None, reversed(lines)), "")

    def _read(self, stream: IO[bytes]) -> None:
        with stream:
            self._kept.extend(stream)


def _wait(server: subprocess.Popen, port: int, said: LastLines) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if server.poll() is not None:
            why = masked(said.ended(PAUSE)) or "it says nothing"
            raise TrackingError(f"MLflow's server does not start: {why}.")
        with suppress(OSError):
            urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=2).close()
            return
        time.sleep(0.2)
    raise TrackingError(f"MLflow's server has not answered on port {port} within {PATIENCE:.0f} s.")


def _raising_on_terminate() -> Any:
    """SIGTERM ends the program as Ctrl-C does, so that no server is left behind."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with suppress(ValueError):  # not in the main thread
        return signal.signal(signal.SIGTERM, stop)
    return None
