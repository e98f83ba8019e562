"""The documentation is a site: it builds without a warning, fetches nothing, and each is reached from the first."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", "scripts/site/mkdocs.yml"]
    built = subprocess.run(
        [*command, "--site-dir", str(place)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return place


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
