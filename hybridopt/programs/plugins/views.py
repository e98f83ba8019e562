"""What is found, on the screen; in a pipe nothing is cut or wrapped, so that a row stays a line."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from hybridopt.programs.plugins.checking import Report
    from hybridopt.programs.plugins.doctor import Finding
    from hybridopt.programs.plugins.listing import Row
    from hybridopt.programs.plugins.showing import Facts

UNLIMITED = 100_000


def console() -> Console:
    """As wide as the screen, or as wide as it takes."""
    return Console(highlight=False) if sys.stdout.isatty() else Console(width=UNLIMITED, highlight=False)


def list_table(rows: Sequence[Row]) -> None:
    """One line for each plugin and config."""
    screen = sys.stdout.isatty()
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("kind", "name", "package", "version"):
        drawn.add_column(column, no_wrap=True)
    drawn.add_column("summary", no_wrap=True, overflow="ellipsis" if screen else "ignore")
    drawn.add_column("capabilities", no_wrap=True)
    for row in rows:
        said = Text(f"broken: {row.problem}", style="red") if row.problem else Text(row.summary)
        cells = [Text(cell) for cell in (row.kind, row.name, row.package, row.version)]
        drawn.add_row(*cells, said, Text(", ".join(row.capabilities)))
    console().print(drawn)


def page(facts: Facts) -> None:
    """A page about one plugin."""
    out, row = console(), facts.row
    out.print(Text.assemble((f"{row.kind} {row.name}", "bold"), f"   {row.package} {row.version}"))
    if facts.docstring:
        out.print(Text(f"\n{facts.docstring.rstrip()}"))
    if facts.settings:
        out.print()
        out.print(settings_table(facts))
    out.print()
    said = {"needs": facts.needs, "source": f"{facts.file}   {row.target}".strip(), "try": facts.example}
    for word, text in said.items():
        if text:
            out.print(Text(f"{word:8}{text}"), soft_wrap=True)
    if facts.problem:
        print(facts.problem, file=sys.stderr)


def settings_table(facts: Facts) -> Table:
    """Name, type and default of each setting."""
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("setting", "type", "default"):
        drawn.add_column(column, overflow="fold")
    for setting in facts.settings:
        drawn.add_row(Text(setting.name), Text(setting.type), Text(setting.default or "(must be given)"))
    return drawn


def report_lines(report: Report) -> None:
    """A line for a plugin, and one for each check that fails or was expected to."""
    out = console()
    passed, total = len(report.passed), len(report.passed) + len(report.expected) + len(report.failures)
    verdict = ("fails", "red") if report.failures else ("passes", "green")
    name = f"{report.kind} {report.name} ({report.package})"
    out.print(Text.assemble(verdict, f"  {name}: {passed} of {total} checks"), soft_wrap=True)
    for check, reason in report.expected.items():
        out.print(Text(f"  as declared, {check}: {reason}"), soft_wrap=True)
    for sentence in report.failures.values():
        out.print(Text(f"  {sentence}", style="red"), soft_wrap=True)


def check_summary(reports: Sequence[Report]) -> None:
    """What all came to."""
    failing = sum(bool(report.failures) for report in reports)
    checks = sum(len(report.passed) + len(report.expected) + len(report.failures) for report in reports)
    said = "all pass" if not failing else f"{failing} of them {'fails' if failing == 1 else 'fail'}"
    print(f"{checks} checks of {len(reports)} plugin{'s' * (len(reports) != 1)}: {said}.")


def finding_lines(findings: Sequence[Finding], looked_at: int) -> None:
    """A line for each finding."""
    out = console()
    for finding in findings:
        where = " ".join(filter(None, (finding.package, finding.what)))
        out.print(Text.assemble((where, "bold"), f": {finding.sentence}"), soft_wrap=True)
    if not findings:
        print(f"All is well: {looked_at} plugins and configs.")
