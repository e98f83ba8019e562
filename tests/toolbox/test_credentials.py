"""Secrets: used, and found nowhere in what is written or shown."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
import yaml
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from jobs import SMALL

import hybridopt
from hybridopt.errors import HybridoptError, TrackingError, brief
from hybridopt.execution import experiment, identity
from hybridopt.execution.directory import leave_traceback
from hybridopt.toolbox import credentials
from hybridopt.tracking.store import prepare_store

LETTERS = st.text("BDFGHJKLMNPQRSTVWXZ", min_size=10, max_size=16)
ODD = st.text("!$&()*+,-.:;=@#?/%~_|^", max_size=3)
SECRETS = st.tuples(LETTERS, ODD, LETTERS).map("".join)
SCHEMES = st.sampled_from(["http", "https", "postgresql", "postgresql+psycopg", "mysql+pymysql", "mssql+pyodbc"])
PLACES = st.sampled_from([
    "{0}://user:{1}@host:5000", "{0}://{1}@host/path", "{0}://{1}:x@host", "{0}://:{1}@[::1]:80/db",
    "{0}://user:pw@host/db?password={1}&sslmode=require", "{0}://host/db?token={1}", "{0}:///?odbc_connect=PWD={1}",
    "{0}://user:pw@host/db#{1}",
])  # fmt: skip
URIS = st.tuples(SCHEMES, PLACES, SECRETS, st.booleans()).map(
    lambda drawn: (drawn[1].format(drawn[0], quote(drawn[2], safe="") if drawn[3] else drawn[2]), drawn[2])
)
FEW = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NAMES = st.sampled_from(["AWS_SECRET_ACCESS_KEY", "OPENAI_API_KEY", "MLFLOW_TRACKING_TOKEN", "PGPASSWORD", "MY_TOKEN"])


@pytest.fixture
def environment() -> Iterator[None]:
    """Whatever is put into it is gone afterwards."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def leaks(text: str, secret: str) -> bool:
    """Whether a text has the secret, or a part of it that tells, as it is or by percents."""
    parts = (secret, quote(secret, safe=""), secret[:10], secret[-10:])
    return any(part in form for part in parts for form in (text, unquote(text)))


# -- what goes round --------------------------------------------------------------------------------------------------


@settings(FEW, max_examples=300)
@given(drawn=URIS)
@example(drawn=("http://user:passwordwitha?@host", "passwordwitha?"))
@example(drawn=("http://user:passwordwitha#@host", "passwordwitha#"))
@example(drawn=("postgresql://host/db?password=passwordwithan@x", "passwordwithan@x"))
def test_a_uri_is_shown_without_its_secret_and_used_with_it(drawn: tuple[str, str], environment: None) -> None:
    uri, secret = drawn
    os.environ.pop(credentials.VARIABLE, None)
    shown = credentials.hide(uri)
    assert not leaks(shown, secret)
    assert credentials.masked_uri(shown) == shown
    assert credentials.reveal(shown) == credentials.reveal(shown.rstrip("/") + "/") == uri
    assert not leaks(credentials.masked(f"{uri} said {secret!s} or '{unquote(secret)}'."), secret)
    assert not leaks(credentials.hide_in([f"tracking.uri='{uri}'", "seed=1"])[0], secret)


@pytest.mark.parametrize(
    "uri",
    ["http://host:5000", "sqlite:///mlflow.db", "sqlite:////a/b@c/mlflow.db?x=1", "databricks", "postgresql://h/db"],
)
def test_a_uri_without_credentials_stays_as_it_is(uri: str, environment: None) -> None:
    assert credentials.hide(uri) == credentials.reveal(uri) == uri


def test_the_latest_of_two_users_counts(environment: None) -> None:
    for uri in ("http://a:firstone@host", "http://b:secondone@host", "http://a:firstone@host"):
        assert credentials.hide(uri) == "http://***@host"
        assert credentials.reveal("http://***@host") == uri


@settings(FEW, max_examples=100)
@given(name=NAMES, secret=SECRETS)
def test_a_secret_of_the_environment_is_kept_by_its_name(name: str, secret: str, environment: None) -> None:
    os.environ[name] = secret
    config = {"dataset": {"path": f"s3://x/{secret}", "names": [secret, 1, None]}, "seed": 3}
    kept = credentials.as_references(config)
    assert not leaks(json.dumps(kept), secret)
    assert credentials.resolved(kept) == config
    error = HybridoptError(f"{secret} is refused")
    error.__cause__ = ValueError(f"at http://u:{secret}@host")
    credentials.scrub(error)
    assert not leaks(f"{error} {error.__cause__}", secret)


def test_an_ordinary_variable_is_no_secret(environment: None) -> None:
    os.environ["HOST_NAME"] = "somewhere-or-other"
    assert credentials.masked("somewhere-or-other") == "somewhere-or-other"
    assert credentials.resolved({"a": "${oc.env:HOST_NAME}"}) == {"a": "${oc.env:HOST_NAME}"}


def test_the_words_of_others_lose_the_credentials() -> None:
    assert brief(ValueError("request to http://joe:pw@host/api failed")) == "request to http://***@host/api failed"


@pytest.mark.parametrize("uri", ["http://joe:S3CRETPW@127.0.0.1:9", "postgresql+psycopg://joe:S3CRETPW@127.0.0.1:9/db"])
def test_a_store_that_is_not_there_is_named_without(uri: str, environment: None) -> None:
    with pytest.raises(TrackingError) as refused:
        prepare_store(uri)
    assert "***@127.0.0.1" in str(refused.value)
    assert "S3CRETPW" not in str(refused.value)


def test_credentials_that_are_kept_nowhere_are_asked_for(environment: None) -> None:
    os.environ.pop(credentials.VARIABLE, None)
    with pytest.raises(TrackingError, match=r"MLFLOW_TRACKING_URI"):
        prepare_store("http://***@nowhere")


# -- what a run writes ------------------------------------------------------------------------------------------------


@pytest.fixture
def server(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A server that any URI reaches: a database; what clients were opened with."""
    import mlflow

    from hybridopt.tracking import store

    real, opened = mlflow.MlflowClient, []
    with closing(sqlite3.connect(template)) as source, closing(sqlite3.connect(tmp_path / "server.db")) as copy:
        source.backup(copy)

    class Client(real):
        def __init__(self, uri: str):
            super().__init__(f"sqlite:///{tmp_path}/server.db")
            opened.append(uri)

        tracking_uri = property(lambda self: opened[-1])

    monkeypatch.setattr(mlflow, "MlflowClient", Client)
    monkeypatch.setattr(store, "_check_server", lambda uri: None)
    return opened


def written(place: Path) -> Iterator[tuple[Path, str]]:
    """All files below, with what is in them."""
    for path in place.rglob("*"):
        if path.is_file():
            yield path, path.read_bytes().decode("utf-8", errors="replace")


@settings(
    max_examples=4, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(password=SECRETS, name=NAMES, secret=SECRETS, typed=st.booleans())
def test_no_secret_is_in_what_a_run_writes(
    password: str, name: str, secret: str, typed: bool, server: list[str], environment: None,
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    place, uri = tmp_path_factory.mktemp("place"), f"http://joe:{quote(password, safe='')}@tracker"
    server.clear()
    os.environ.pop(credentials.VARIABLE, None)
    os.environ[name] = secret
    os.environ["MLFLOW_TRACKING_URI"] = "http://elsewhere" if typed else uri
    chosen = [*(one for one in SMALL if one != "tracking=none"), "strategy=adam", "budget.forwards=2e3"]
    chosen += ["budget.marks=1", "tracking.log_model=false", "trainer.enable_progress_bar=false"]
    chosen += [f"sweep.name=${{oc.env:{name}}}", *([f"tracking.uri='{uri}'"] if typed else [])]
    result = hybridopt.run(*chosen, directory=place / "run")
    assert result is not None
    assert result.undelivered == 0
    assert set(server) == {uri}
    config = identity.read_config(place / "run")
    assert config["sweep"]["name"] == secret  # it was used
    broken = config | {"dataset": {"name": "csv", "path": f"{secret}/{uri}"}}
    (place / "broken").mkdir()
    try:
        experiment.run(broken, place / "broken")
    except HybridoptError as error:
        leave_traceback(place / "broken", error)
    again = hybridopt.run(f"resume={place / 'run'}")
    shown = capfd.readouterr()
    texts = [
        *written(place),
        *written(tmp_path),
        ("terminal", shown.out + shown.err),
        ("log", caplog.text),
        ("review", str(again)),
    ]
    assert [path for path, text in texts if leaks(text, secret) or leaks(text, password)] == []
    assert yaml.safe_load((place / "run" / "config.yaml").read_text())["tracking"]["uri"] == "http://***@tracker"
