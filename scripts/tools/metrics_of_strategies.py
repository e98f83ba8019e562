"""The final metrics of every built-in strategy, to see whether a change of the code changes what is computed.

    python scripts/tools/metrics_of_strategies.py --write before.json
    python scripts/tools/metrics_of_strategies.py --write after.json
    python scripts/tools/metrics_of_strategies.py --compare before.json after.json

Each job is `hybridopt strategy=<name> budget.forwards=1e6` on digits. Rounding differs from processor to processor:
compare files of one machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from importlib.metadata import entry_points
from pathlib import Path

UNTIMED = ("final/", "best/", "test/", "model/", "cost/forwards", "cost/evaluations")  # what the clock has no part in


def built_in() -> list[str]:
    """The strategies that the core package brings."""
    found = entry_points(group="hybridopt.strategies")
    return sorted(entry.name for entry in found if entry.dist is not None and entry.dist.name == "hybridopt")


def metrics(strategy: str, forwards: float) -> dict[str, float] | str:
    """The metrics of one job, or the sentence by which it is refused."""
    command = [sys.executable, "-m", "hybridopt", f"strategy={strategy}", f"budget.forwards={forwards}", "threads=1"]
    with tempfile.TemporaryDirectory() as folder:
        command += ["tracking=none", "trainer.enable_progress_bar=false", f"hydra.run.dir={folder}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return done.stderr.strip().splitlines()[-1]
        summary = json.loads((Path(folder) / "result.json").read_text(encoding="utf-8"))["summary"]
    return {name: value for name, value in summary.items() if name.startswith(UNTIMED)}


def compare(before: Path, after: Path) -> str:
    """A table of what differs."""
    old, new = (json.loads(path.read_text(encoding="utf-8")) for path in (before, after))
    lines = ["| strategy | metric | before | after |", "|---|---|---|---|"]
    for name in sorted(old.keys() | new.keys()):
        one, other = old.get(name, {}), new.get(name, {})
        if isinstance(one, str) or isinstance(other, str):
            lines += [f"| {name} | | {one} | {other} |"] if one != other else []
            continue
        changed = [key for key in sorted(one.keys() | other.keys()) if one.get(key) != other.get(key)]
        lines += [f"| {name} | {key} | {one.get(key)} | {other.get(key)} |" for key in changed]
    same = sum(old.get(name) == new.get(name) for name in old.keys() | new.keys())
    return "\n".join(
        [*lines, "", f"{same} of {len(old.keys() | new.keys())} strategies are unchanged, to the last bit."]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, help="run all strategies, and keep their metrics in this file")
    parser.add_argument("--compare", type=Path, nargs=2, metavar=("BEFORE", "AFTER"))
    parser.add_argument("--forwards", type=float, default=1e6)
    parser.add_argument("--strategies", help="names, separated by commas; all built-in ones if left out")
    arguments = parser.parse_args()
    if arguments.compare:
        print(compare(*arguments.compare))
    if arguments.write:
        names = arguments.strategies.split(",") if arguments.strategies else built_in()
        kept = {}
        for name in names:
            kept[name] = metrics(name, arguments.forwards)
            print(name, kept[name] if isinstance(kept[name], str) else kept[name].get("final/val/loss"), flush=True)
            arguments.write.write_text(json.dumps(kept, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
