"""A journal that was changed, cut, or is another run's says nothing that was not written to it."""

import math
import shutil
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridopt.errors import ResumeError
from hybridopt.tracking.checked import CONFIG_FILE
from hybridopt.tracking.checksums import ends_there
from hybridopt.tracking.journal import Journal
from hybridopt.tracking.lines import JOURNAL, UNREADABLE, read_operations

CHANGED = [b"0", b"7", b"a", b'"', b"}", b"\n", b"", b"xx", b"\x00"]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[tuple[str, dict]]]:
    """A journal of eight lines, and what they say."""
    journal = Journal(tmp_path_factory.mktemp("told"))
    journal.tags({"note": 'a "quoted" word'})
    for step in range(5):
        journal.metrics({"val/loss": 1 / 3 + step, "val/acc": math.inf}, step=1000 * step)
    journal.artifact(journal.directory / "last.ckpt")
    journal.status("FINISHED")
    journal.close()
    return journal.path.read_bytes(), [(one.kind, dict(one.content)) for one in read_operations(journal.path)]


@settings(max_examples=300, deadline=None)
@given(place=st.integers(0, 2**16), change=st.sampled_from(CHANGED), goes_on=st.booleans())
def test_a_journal_that_was_changed_says_nothing_else(
    told: tuple[bytes, list], place: int, change: bytes, goes_on: bool
) -> None:
    content, expected = told
    place %= len(content)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / JOURNAL
        path.write_bytes(content[:place] + change + content[place + 1 :])
        if goes_on:
            with closing(Journal(path.parent)) as journal:
                journal.tags({"later": 1})
            expected = [*expected, ("tags", {"values": {"later": "1"}})]
        found = [(one.kind, dict(one.content)) for one in read_operations(path)]
    readable = [one for one in found if one[0] != UNREADABLE]
    assert all(one in expected for one in readable)
    lost = len(expected) - len(readable)
    assert lost <= 2  # where a newline is gone, two lines come to harm
    assert lost == 0 or len(readable) < len(found) or place == len(content) - 1  # it is told, or the end is torn


def test_a_line_that_is_missing_is_told(told: tuple[bytes, list], tmp_path: Path) -> None:
    lines = told[0].splitlines(keepends=True)
    (tmp_path / JOURNAL).write_bytes(b"".join(lines[:3] + lines[4:]))
    kinds = [one.kind for one in read_operations(tmp_path / JOURNAL)]
    assert kinds == ["tags", "metrics", UNREADABLE, *["metrics"] * 2, "artifact", "status"]


def test_a_journal_knows_its_position_again(told: tuple[bytes, list], tmp_path: Path) -> None:
    with closing(Journal(tmp_path)) as journal:
        journal.tags({"a": "b"})
        noted = journal.position()
        journal.tags({"c": "d"})
    assert ends_there(journal.path, noted)
    content = journal.path.read_bytes()
    for other in (
        b"",
        content[:20],
        content.replace(b"b", b"e"),
        content.replace(b"crc32", b"crc"),
        told[0],
    ):
        journal.path.write_bytes(other)
        assert not ends_there(journal.path, noted)


def test_the_journal_of_another_run_is_refused(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / CONFIG_FILE).write_text(name)
        with closing(Journal(tmp_path / name)) as journal:
            journal.tags({"a": "b"})
    shutil.copy(tmp_path / "a" / JOURNAL, tmp_path / "b")
    with pytest.raises(ResumeError, match=r"is the journal of another run than the config\.yaml beside it: put"):
        Journal(tmp_path / "b")
    Journal(tmp_path / "a").close()  # nothing is held any more
