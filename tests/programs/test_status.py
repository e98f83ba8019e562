"""What is told on a terminal while there is nothing else to see."""

from __future__ import annotations

import sys

import pytest

from hybridopt.toolbox import status


def told(capsys: pytest.CaptureFixture[str]) -> str:
    with status.shown():
        status.say("importing")
        status.say("loading")
    status.say("nobody asks any more")
    return capsys.readouterr().err


def test_a_person_sees_what_is_done_and_nothing_stays(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    seen = told(capsys)
    assert seen.index("importing …") < seen.index("loading …")
    assert seen.endswith(status.ERASED)
    assert "\n" not in seen
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert told(capsys) == "", "one of several processes tells"


def test_a_log_has_nothing_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys) == ""
