"""Which stores a run's directory may be delivered to: those that the user has named, never one that it names itself.

A directory may come from anybody, and its ``run.json`` says where its journal goes. That counts only where the user has
named that store (by an argument or in the environment), or where a run of this user's has been made in it: each new run
notes its store, without credentials, in a file of the user's.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path

from hybridopt.errors import TrackingError, brief
from hybridopt.toolbox.credentials import DEFAULT, address, masked_uri
from hybridopt.tracking.store import DEFAULT_URI, sqlite_path

log = logging.getLogger(__name__)


def own_stores() -> Path:
    """The file with the stores that this user's runs were made in, one a line."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "hybridopt" / "stores"


def remember(uri: str) -> None:
    """Note that a run of the user's is made in a store; where that cannot be noted, its resumption asks."""
    if _place(uri) in _known():
        return
    path = own_stores()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with path.open("a", encoding="utf-8") as file:  # one short line: processes do not write into each other's
            file.write(_place(uri) + "\n")
    except OSError as error:
        log.debug("The store %s is not noted in %s (%s).", masked_uri(uri), path, brief(error))


def check_named(uri: str, named: Iterable[str | None], directory: Path) -> None:
    """Refuse the store that a directory names where nobody else does.

    Args:
        uri: what the directory's note says.
        named: stores that the user has named for this; the environment and the default one count too.
        directory: the run's.

    Raises:
        TrackingError: it is no store of the user's.
    """
    if not is_trusted(uri, named):
        shown = masked_uri(uri)
        raise TrackingError(
            f"{directory} wants to be delivered to {shown}, and no run of yours has been there: if you trust it, type "
            f"hybridopt-sync {directory} --uri {shown}, or resume={directory} tracking.uri={shown}."
        )


def is_trusted(uri: str, named: Iterable[str | None] = ()) -> bool:
    """Whether a store is one that the user has named, or one that runs of the user's were made in."""
    trusted = {_place(one) for one in (*named, os.environ.get(DEFAULT), DEFAULT_URI) if one}
    return _place(uri) in trusted | _known()


def _known() -> set[str]:
    try:
        return set(own_stores().read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError):
        return set()


def _place(uri: str) -> str:
    """A store by where it is, whatever the credentials and however it is written."""
    try:
        path = sqlite_path(uri)
    except TrackingError:
        path = None
    return address(masked_uri(uri)).rstrip("/") if path is None else f"sqlite:///{path.resolve()}"
