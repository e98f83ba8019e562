"""The page of a report: names are shown as they are, and do nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from hybridopt.report.page import _picture, bullets, escaped, markdown_table, page

EVIL = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "&lt;script&gt;", "![p](../../secret.svg)",
    "[click](javascript:alert(1))", "[click](http://evil)", "<http://evil>", "`</code><script>`", "a|b|<b>c</b>",
    "\\[x](http://evil)", "name\n\n<script>", "\x1b[31mred", "[x]: http://evil\n[x]", "</title><script>", "![p](p.svg)",
    "__:__", ":__a__:",
]  # fmt: skip
NAMES = st.one_of(st.sampled_from(EVIL), st.text("<>&[]()!`*\\|#-_:/\"'\n\x1b ax", max_size=30))


@settings(deadline=None, max_examples=150)
@given(name=NAMES)
def test_a_name_is_text_wherever_it_stands(name: str) -> None:
    text = "\n\n".join(
        [f"# {escaped(name)}", bullets([name]), markdown_table([name], [[name]]), _picture(name, Path("no.svg"))]
    )
    shown = page(name, text, Path("nowhere"))
    allowed = (
        "html|head|meta|title|style|body|h1|ul|ol|li|table|thead|tbody|tr|th|td|p|em|img|hr|blockquote|h2|pre|code"
    )
    assert [tag for tag in re.findall(r"<(?!!doctype)/?([^\s/>]*)", shown) if not re.fullmatch(allowed, tag)] == []
    assert re.findall(r'(?:src|href)="([^"]*)"', shown) == [""]
    assert "\x1b" not in shown
    assert "default-src 'none'" in shown
    note = MarkdownIt("commonmark").enable("table").render(text)  # as another renderer shows the description
    assert not re.search(r"<(script|a|img src=\"(?!no\.svg))", note)


def test_a_name_reads_as_it_is() -> None:
    for name in ("<b>", "a*b*c", "[x](y)", "openai_es lr=0.1", "a & b", "50 %", "p|q"):
        assert MarkdownIt("commonmark").enable("table").parse(bullets([name]))[3].children is not None
        rendered = page("t", markdown_table([name], []), Path())
        assert name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") in rendered


@pytest.mark.parametrize("address", ["../secret.svg", "sub/secret.svg", "link.svg", "http://evil/x.svg", "gone.svg"])
def test_pictures_are_the_folders_own(address: str, tmp_path: Path) -> None:
    folder = tmp_path / "report"
    (folder / "sub").mkdir(parents=True)
    for place in (tmp_path / "secret.svg", folder / "sub" / "secret.svg"):
        place.write_bytes(b"SECRET")
    (folder / "link.svg").symlink_to(tmp_path / "secret.svg")
    (folder / "own.svg").write_bytes(b"OWN")
    shown = page("t", f"![a]({address}) ![b](own.svg)", folder)
    assert re.findall(r'src="([^"]*)"', shown) == ["", "data:image/svg+xml;base64,T1dO"]
