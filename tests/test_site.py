"""The documentation is a site: it builds without a warning, fetches nothing, and each is reached from the first."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DEPLOY = ("deploy", "--config-file", "scripts/site/mkdocs.yml", "--message", "a version", "--update-aliases")
SOMEBODY = {f"GIT_{role}_{what}": "somebody" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version as ``scripts/docs deploy`` makes it, in a repository of the test's own."""
    place = tmp_path_factory.mktemp("site")
    environment = {
        **os.environ,
        **SOMEBODY,
        "NO_MKDOCS_2_WARNING": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # mike starts mkdocs
        "SITE_DIR": str(tmp_path_factory.mktemp("built")),
        "GIT_DIR": str(place / ".git"),
        "GIT_WORK_TREE": str(place),
    }
    mike = [sys.executable, "-c", "from mike.driver import main; main()"]
    for command in (
        ["git", "init", "--quiet", "--initial-branch=elsewhere"],
        [*mike, *DEPLOY, "1.0", "latest"],
        ["git", "checkout", "--quiet", "gh-pages"],
    ):
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return place / "1.0"


def test_it_is_one_of_several_versions(site: Path) -> None:
    assert json.loads((site.parent / "versions.json").read_text()) == [
        {"version": "1.0", "title": "1.0", "aliases": ["latest"]}
    ]
    assert (site.parent / "latest").resolve() == site
    assert '"provider": "mike"' in (site / "index.html").read_text(encoding="utf-8")


def test_notebooks_and_contracts_are_pages_of_it(site: Path) -> None:
    notebook = (site / "notebooks" / "newcomer.html").read_text(encoding="utf-8")
    (picture,) = re.findall(r'<img[^>]* src="(newcomer_files/[^"]+)"', notebook)
    assert (site / "notebooks" / picture).exists()
    assert "your-own.html" in notebook
    assert 'href="api.html"' in (site / "python.html").read_text(encoding="utf-8")
    assert re.search(
        r'href="api\.html#hybridopt[\w.]*\.Hybrid"', (site / "your-hybrid.html").read_text(encoding="utf-8")
    )
    assert not (site / "contracts").exists()


def test_every_page_is_reached_from_the_first_one(site: Path) -> None:
    seen, left = set(), [site / "index.html"]
    while left:
        page = left.pop()
        if page not in seen:
            seen.add(page)
            targets = re.findall(r'href="([^"#:]+\.html)', page.read_text(encoding="utf-8"))
            left += [found for target in targets if (found := (page.parent / target).resolve()).exists()]
    assert {page.relative_to(site) for page in site.rglob("*.html")} - {page.relative_to(site) for page in seen} == {
        Path("404.html")
    }


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert re.findall(r'<(?:script|img|iframe)[^>]* src="?https?:[^ >]*', text) == [], page
        assert re.findall(r'<link[^>]*rel="?stylesheet[^>]*href="?https?:[^ >]*', text) == [], page


def test_the_reference_has_every_public_name(site: Path) -> None:
    import hybridopt

    reference = (site / "api.html").read_text(encoding="utf-8")
    missing = [name for name in hybridopt.__all__ if not re.search(rf'id="hybridopt[\w.]*\.{name}"', reference)]
    assert missing == []
    assert ":class:" not in reference
