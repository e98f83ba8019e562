"""The exceptions of hybridopt. Each message is one sentence: what is wrong, what was found, what to type instead."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

MASK = "***"
_LONG = re.compile(r"\S{400,}")  # no sentence needs such a word: somebody has typed it
_CREDENTIALS = re.compile(r"(?<=://)[^\s'\"<>]*@")  # of a URI, in a text


class HybridoptError(Exception):
    """A mistake that the user can mend; shown without a traceback (``HYDRA_FULL_ERROR=1`` brings it back)."""

    def __str__(self) -> str:
        return _LONG.sub(lambda word: f"{word[0][:80]}…{word[0][-20:]}", super().__str__())


class ConfigError(HybridoptError):
    """A setting, or a combination of settings, that cannot work."""


class PluginError(HybridoptError):
    """A plugin that is not there, is claimed twice, or failed to import."""


class DataError(HybridoptError):
    """Data that cannot be read or cannot be learned from."""


class TrackingError(HybridoptError):
    """A tracking store that cannot be reached or written."""


class StorageError(HybridoptError):
    """A disk that is full, or a directory that cannot be written."""


class ResumeError(HybridoptError):
    """A run that cannot be continued."""


class InUse(ResumeError):
    """A run that another process is writing."""


class Taken(ConfigError):
    """A directory in which there is a run already."""


class Interrupted(HybridoptError):
    """The run was stopped by a signal after its state was saved.

    Args:
        signal_number: the POSIX number of the signal; the process exits with 128 + this number.
    """

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.signal_number = signal_number


def options(names: Iterable[str], asked: str | None = None) -> str:
    """The names there are, the most similar one first as a suggestion, as the end of a sentence."""
    known = sorted(names)
    return f"{suggestion(known, asked)} Choose from: {', '.join(known) or '(there are none)'}."


def suggestion(names: Iterable[str], asked: str | None) -> str:
    """The most similar name as a question at the end of a message; nothing where none is similar."""
    known = {name.lower(): name for name in names}
    close = get_close_matches((asked or "").lower()[:100], known, n=1)
    return f" Did you mean {known[close[0]]!r}?" if close else ""


def brief(error: BaseException) -> str:
    """The first line of an error's text, for use inside a sentence; its type's name where it has no text."""
    lines = without_credentials(str(error)).strip().splitlines()
    return lines[0].rstrip(".:")[:200] if lines else type(error).__name__


def oneline(error: BaseException) -> str:
    """An error's whole text in one line, for use inside a sentence; its type's name where it has no text."""
    return " ".join(str(error).split()).rstrip(".:") or type(error).__name__


def counted(number: int, noun: str) -> str:
    """How many there are of something, with its noun: "1 run", "2 runs", "3 strategies"."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


def verb(number: int, one: str, many: str) -> str:
    """The form of a word for so many: ``verb(n, "is", "are")``."""
    return one if number == 1 else many


def without_credentials(text: str) -> str:
    """A text in which no URI has a user or a password any more."""
    return _CREDENTIALS.sub(f"{MASK}@", text)
