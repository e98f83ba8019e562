"""Credentials are used and never shown: what goes round in the program is a URI without them.

:func:`hide` takes a URI as the user gives it, keeps it in the environment of this process, where the processes of its
jobs find it, and returns it masked: ``http://***@server``. Only who opens the connection asks :func:`reveal` for the
whole. So whatever is written or printed can hold no more than the masked one. :func:`masked` is for the words of
others, such as a server's error, and for settings that were read from the environment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote, unquote_plus

from hybridopt.errors import MASK, without_credentials

VARIABLE = "HYBRIDOPT_TRACKING_URIS"  # URIs with credentials that were typed, one a line, the latest first
DEFAULT = "MLFLOW_TRACKING_URI"
SECRET = re.compile(r"PASSW|SECRET|TOKEN|CREDENTIAL|KEY$", re.IGNORECASE)  # names of variables whose values are
SHORTEST = 4  # characters of a secret that is looked for in texts: a shorter one is in every second word
HARMLESS = {"sslmode", "charset", "timeout", "connect_timeout", "driver", "application_name"}
PASSWORDS = re.compile(r"(?:PWD|PASSWORD)=(.*)", re.IGNORECASE)  # of ODBC, in one value of a query
REFERENCE = re.compile(r"\$\{oc\.env:(\w+)\}")


def masked_uri(uri: str) -> str:
    """A URI without user, password, and the values of its query; a file's stays as it is."""
    scheme, found, rest = uri.partition("://")
    if not found or scheme in ("sqlite", "file"):
        return uri
    if {"?", "#"} & set(rest.rpartition("@")[0]):  # of a password, or the @ is one of the query: nobody can tell
        return f"{scheme}://{MASK}"
    _, at, place = rest.rpartition("@")
    place, anchor, _ = place.partition("#")
    path, mark, query = place.partition("?")
    pairs = "&".join(_masked_pair(pair) for pair in query.split("&"))
    return f"{scheme}://{MASK + at if at else ''}{path}{mark}{pairs if mark else ''}{anchor + MASK if anchor else ''}"


def hide(uri: str) -> str:
    """The URI masked; its credentials are kept for :func:`reveal`, in this process and those that it starts."""
    shown = masked_uri(uri)
    if shown != uri and reveal(shown) != uri:
        os.environ[VARIABLE] = "\n".join(dict.fromkeys([uri, *_given()]))
    return shown


def hide_in(arguments: Iterable[str]) -> list[str]:
    """Overrides, with the URI of the tracking store masked."""
    return [_hidden(one) if one.lstrip("+").startswith("tracking.uri=") else one for one in arguments]


def reveal(uri: str) -> str:
    """The whole URI, where it is known; else as it is."""
    return next((full for full in _given() if masked_uri(full).rstrip("/") == uri.rstrip("/")), uri)


def address(uri: str) -> str:
    """A masked URI as a browser opens it."""
    return uri.replace(f"{MASK}@", "")


def masked(text: str) -> str:
    """A text without the credentials of URIs, and without secrets of the environment."""
    for uri in _given():
        text = text.replace(uri, masked_uri(uri))
    text = without_credentials(text)
    for secret in _secrets():
        text = text.replace(secret, MASK)
    return text


def scrub(error: BaseException) -> None:
    """Mask what an error and its causes say, before somebody shows them."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        found.args = tuple(masked(one) if isinstance(one, str) else one for one in found.args)
        found = found.__cause__ or found.__context__


def as_references(config: Any) -> Any:
    """Plain values, with each secret of the environment replaced by the name of its variable."""
    if isinstance(config, Mapping):
        return {key: as_references(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return [as_references(value) for value in config]
    if isinstance(config, str):
        for name, secret in _variables():
            config = config.replace(secret, f"${{oc.env:{name}}}")
    return config


def resolved(config: Any) -> Any:
    """The opposite of :func:`as_references`; a variable that is not set stays a reference."""
    if isinstance(config, Mapping):
        return {key: resolved(value) for key, value in config.items()}
    if isinstance(config, list):
        return [resolved(value) for value in config]
    return REFERENCE.sub(_value, config) if isinstance(config, str) else config


def _value(found: re.Match[str]) -> str:
    return os.environ.get(found[1], found[0]) if SECRET.search(found[1]) else found[0]


def _given() -> list[str]:
    given = [*os.environ.get(VARIABLE, "").splitlines(), os.environ.get(DEFAULT, "")]
    return [uri for uri in given if masked_uri(uri) != uri]


def _hidden(argument: str) -> str:
    key, _, value = argument.partition("=")
    uri = value.strip("'\"")
    return f"{key}={value.replace(uri, hide(uri))}"


def _masked_pair(pair: str) -> str:
    key, equals, _ = pair.partition("=")
    return pair if key in HARMLESS else f"{key if equals else ''}{equals}{MASK}"


def _variables() -> list[tuple[str, str]]:
    """Names and values of variables that hold a secret, the longest first."""
    found = [(key, text) for key, text in os.environ.items() if SECRET.search(key) and len(text) >= 2 * SHORTEST]
    return sorted(found, key=lambda one: len(one[1]), reverse=True)


def _secrets() -> list[str]:
    """All texts that must not be shown, the longest first."""
    found = {secret for _, secret in _variables()}
    for uri in _given():
        found |= {form for part in _parts(uri) for form in _decoded(part)}
    return sorted((one for one in found if len(one) >= SHORTEST), key=len, reverse=True)


def _decoded(part: str) -> tuple[str, ...]:
    """A part of a URI as servers may show it, who decode it once, or twice on its way."""
    return part, unquote(part), unquote_plus(part), unquote(unquote(part))


def _parts(uri: str) -> Iterator[str]:
    """The whole, user and password of a URI, and the values of its query that are secret."""
    yield uri
    rest = uri.partition("://")[2]
    userinfo, at, _ = rest.rpartition("@")
    if at:
        user, _, password = userinfo.partition(":")
        yield from (userinfo, password if len(password) >= SHORTEST else user)  # a token stands in the user's place
        if ":" in password:  # unquoted, of the token or of the password
            yield userinfo.rpartition(":")[0]
    for pair in rest.partition("?")[2].split("&"):
        key, equals, value = pair.partition("=")
        if key not in HARMLESS:
            value = value if equals else key
            yield value
            for form in (value, unquote(value), unquote_plus(value)):
                yield from (part for found in PASSWORDS.findall(form) for part in (found, found.partition(";")[0]))
    yield rest.partition("#")[2]
