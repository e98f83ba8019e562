"""Repeat what is claimed of a method, and say whether it holds.

    python scripts/claims/reproduce.py levenberg_marquardt
    python scripts/claims/reproduce.py all --seeds 5 --write docs/reproduction.md

Each claim is an experiment of some seconds to some minutes on one core; the exit code is 1 if one does not hold.
"""

from __future__ import annotations

import argparse
import sys
import time
from importlib import import_module
from pathlib import Path

from proofs import PROOFS, Finding, Proof

MODULES = (
    "adaptation",
    "digits",
    "fine_tuning",
    "kalman",
    "least_squares",
    "losses",
    "memory",
    "merging",
    "peers",
    "searches",
    "tickets",
    "wrapped",
)
HEAD = """# What holds

Made by `python scripts/claims/reproduce.py all --write docs/reproduction.md`: medians over seeds, with their range;
costs in forwards. What does not hold is said as plainly as what does.

| method | claim | measured | forwards | |
|---|---|---|---|---|
"""


def load() -> None:
    """Import the experiments, which register themselves."""
    for name in MODULES:
        import_module(f"proofs.{name}")


def chosen(name: str) -> list[tuple[str, Proof]]:
    """Each experiment once, with the methods that it is about."""
    methods: dict[Proof, list[str]] = {}
    for method, proofs in PROOFS.items():
        for proof in proofs:
            methods.setdefault(proof, []).append(method)
    if name == "all":
        return [(", ".join(about), proof) for proof, about in methods.items()]
    if name not in PROOFS:
        raise SystemExit(f"There is no proof for {name!r}: choose all, or one of {', '.join(sorted(PROOFS))}.")
    return [(", ".join(methods[proof]), proof) for proof in PROOFS[name]]


def row(about: str, finding: Finding) -> str:
    """A line of the table."""
    cost = f"{finding.forwards:,.0f}" if finding.forwards else ""
    verdict = "holds" if finding.holds else "**does not hold**"
    how = f"<br>`{finding.how}`" if finding.how else ""
    return f"| {about} | {finding.claim}{how} | {finding.found} | {cost} | {verdict} |"


def write(path: Path, new: dict[str, list[str]]) -> None:
    """The page, with these rows in the place of those on the same methods."""
    lines = path.read_text(encoding="utf-8").splitlines()[len(HEAD.splitlines()) :] if path.exists() else []
    rows: dict[str, list[str]] = {}
    for line in lines:
        rows.setdefault(line.split(" | ")[0].removeprefix("| "), []).append(line)
    text = "\n".join(line for group in (rows | new).values() for line in group)
    path.write_text(f"{HEAD}{text}\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method", help="a strategy or objective by name, or all")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--write", type=Path, help="the page to write; rows of other methods stay as they are")
    arguments = parser.parse_args()
    load()
    rows: dict[str, list[str]] = {}
    held = True
    for about, proof in chosen(arguments.method):
        began = time.perf_counter()
        for finding in proof(arguments.seeds):
            verdict = "holds" if finding.holds else "DOES NOT HOLD"
            print(f"{about}: {finding.claim}\n  {finding.found}\n  {verdict}, {time.perf_counter() - began:.0f} s\n")
            sys.stdout.flush()
            rows.setdefault(about, []).append(row(about, finding))
            held = held and finding.holds
    if arguments.write:
        write(arguments.write, rows)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
