"""One version holds for all packages, and a release is made of the fragments of changes."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml
from packaging.version import Version
from scripted import tool

ROOT = Path(__file__).resolve().parents[1]
TAKEN = ("pyproject.toml", "CITATION.cff", "plugins/hybridopt-neat/pyproject.toml", "docs/changes/README.md")
CHANGELOG = "# Changelog\n\n<!-- towncrier release notes start -->\n\n"


release = tool("release")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What a release changes, with two fragments."""
    for name in TAKEN:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tmp_path / name)
    (tmp_path / "docs/changes/a-thing.added.md").write_text("A new thing.\n")
    (tmp_path / "docs/changes/a-fault.fixed.md").write_text("A fault is mended,\nwholly.\n")
    (tmp_path / "CHANGELOG.md").write_text(f"{CHANGELOG}## 7.0.0 (2026-01-01)\n\n### Added\n\n- Old.\n")
    return tmp_path


def test_one_version_holds_for_all_packages_and_the_citation() -> None:
    assert release.torn(ROOT) == []
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors", "version", "license"} <= citation.keys()


def test_a_release_sets_it_everywhere_and_takes_the_fragments(tree: Path) -> None:
    release.release(tree, Version("7.1.0"), "2026-02-03")
    assert release.torn(tree) == []
    assert release.unfit(tree, "v7.1.0") == []
    assert "hybridopt-gymnasium>=7.1,<8" in release.project(tree / TAKEN[2])["dependencies"]
    assert release.bounded("hybridopt[report]>=0.1,<0.2", Version("7.1.0")) == "hybridopt[report]>=7.1,<8"
    assert "# the games of the study" in (tree / TAKEN[2]).read_text()  # comments stay
    new = "## 7.1.0 (2026-02-03)\n\n### Added\n\n- A new thing.\n\n### Fixed\n\n- A fault is mended,\n  wholly.\n"
    assert new in (tree / "CHANGELOG.md").read_text()
    assert [path.name for path in (tree / "docs/changes").iterdir()] == ["README.md"]


def test_entries_that_were_written_by_hand_join_those_of_fragments(tree: Path) -> None:
    (tree / "CHANGELOG.md").write_text(f"{CHANGELOG}## 7.1.0 (unreleased)\n\n### Fixed\n\n- By hand.\n")
    release.release(tree, Version("7.1.0"), "2026-02-03")
    (section,) = (tree / "CHANGELOG.md").read_text().split("\n## ")[1:]
    assert section.count("### Fixed") == 1
    assert section.index("wholly.") < section.index("- By hand.")


@pytest.mark.parametrize(
    ("version", "sentence"),
    [("7.0.0", "not newer than 7.0.0"), ("6.9.9", "not newer"), ("7.1", "three numbers"), ("7.1.0rc1", "three")],
)
def test_a_version_that_cannot_follow_is_refused(tree: Path, version: str, sentence: str) -> None:
    assert sentence in (release.refused(tree, version) or "")


def test_a_tag_of_another_version_and_a_torn_tree_are_not_published(tree: Path) -> None:
    release.release(tree, Version("7.1.0"), "2026-02-03")
    neat = tree / TAKEN[2]
    neat.write_text(neat.read_text().replace('"hybridopt>=7.1,<8"', '"hybridopt>=7.0,<8"'))
    (bound, tag) = release.unfit(tree, "v7.2.0")
    assert bound.startswith("hybridopt-neat requires hybridopt>=7.0,<8, and not hybridopt>=7.1,<8")
    assert tag.startswith("The tag v7.2.0 is not that of the version: tag v7.1.0")


def test_the_fragments_there_are_can_be_made_a_changelog_of() -> None:
    fragments = [path for path in (ROOT / "docs" / "changes").iterdir() if path.name != "README.md"]
    assert [path.name for path in fragments if not path.read_text(encoding="utf-8").strip()] == []
    assert [path.name for path in fragments if "\n " in path.read_text(encoding="utf-8")] == [], "do not indent lines"
    command = [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "next"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_source_archive_has_nothing_of_when_and_by_whom_it_was_built(tmp_path: Path) -> None:
    made = []
    for moment, names in (1_700_000_000, "ab"), (1_800_000_000, "ba"):
        archive = tmp_path / f"{moment}.tar.gz"
        with tarfile.open(archive, "w:gz") as files:
            for name in names:
                member = tarfile.TarInfo(name)
                member.mtime, member.uid, member.uname, member.size = moment + 0.5, moment % 7, f"user{moment}", 1
                files.addfile(member, io.BytesIO(name.encode()))
        made.append(tool("build_packages").as_of(archive, 1_600_000_000))
    assert made[0] == made[1]
    with tarfile.open(fileobj=io.BytesIO(made[0])) as files:
        assert {member.name: files.extractfile(member).read() for member in files} == {"a": b"a", "b": b"b"}


def test_each_pyproject_is_in_its_form() -> None:
    files = [str(path.relative_to(ROOT)) for path in release.projects(ROOT)]
    done = subprocess.run([sys.executable, "-m", "toml_sort.cli", "--check", *files], cwd=ROOT, check=False)
    assert done.returncode == 0, f"to mend it, type: toml-sort --in-place {' '.join(files)}"
