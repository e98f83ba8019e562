"""Set the version of all packages and write its part of the changelog, or say whether a tag may be published.

    python scripts/tools/release.py 0.2.0
    python scripts/tools/release.py --check v0.2.0

One number holds for hybridopt and the packages in plugins/. These ask for hybridopt, and for one another, within the
versions that may not break them (docs/stability.md). The changelog is made by towncrier of the fragments in
docs/changes/. Nothing is committed or published: the commands for that are printed.
"""

from __future__ import annotations

import argparse
import datetime
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomlkit
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
SEMANTIC = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
HEADING = re.compile(r"^## (\S+) \((unreleased|\d{4}-\d\d-\d\d)\)$", re.MULTILINE)
CITED = re.compile(r"^version: .*$", re.MULTILINE)
DATED = re.compile(r"^date-released: .*\n", re.MULTILINE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", help="the new one, such as 0.2.0; with --check a tag, such as v0.2.0")
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if the tag does not fit")
    chosen = parser.parse_args()
    if chosen.check:
        sys.exit("\n".join(unfit(ROOT, chosen.version)) or None)
    refusal = refused(ROOT, chosen.version)
    if refusal is not None:
        sys.exit(refusal)
    release(ROOT, Version(chosen.version))
    tag = f"v{chosen.version}"
    print(f"Read git diff, then type:\n\n  git commit -am 'Release {chosen.version}'")
    print(f"  git tag --annotate {tag} --message 'hybridopt {chosen.version}'\n  git push origin HEAD {tag}")


# -- what there is ----------------------------------------------------------------------------------------------------


def projects(root: Path) -> list[Path]:
    """The pyproject.toml of hybridopt, and those of the packages in plugins/."""
    return [root / "pyproject.toml", *sorted(root.glob("plugins/*/pyproject.toml"))]


def project(path: Path) -> dict[str, Any]:
    """What a pyproject.toml says of its project."""
    return tomllib.loads(path.read_text(encoding="utf-8"))["project"]


def requirements(said: dict[str, Any]) -> Iterator[Any]:
    """The lists of what a project requires: always, and for each of its extras."""
    yield said["dependencies"]
    yield from said.get("optional-dependencies", {}).values()


def is_own(requirement: str) -> bool:
    """Whether a package of this repository is required; all of them are called hybridopt or hybridopt-something."""
    return Requirement(requirement).name.partition("-")[0] == "hybridopt"


def bounded(requirement: str, version: Version) -> str:
    """A requirement on hybridopt, with its extras, as the packages of a version have it."""
    asked = Requirement(requirement)
    asked.specifier = SpecifierSet()
    return str(asked) + bounds(version)


def bounds(version: Version) -> str:
    """The versions of hybridopt that the packages of this version ask for: before 1.0 a minor version may break."""
    upper = str(version.major + 1) if version.major else f"0.{version.minor + 1}"
    return f">={version.major}.{version.minor},<{upper}"


# -- a new version ----------------------------------------------------------------------------------------------------


def refused(root: Path, text: str) -> str | None:
    """Why a version cannot be the next one; None if it can."""
    if SEMANTIC.fullmatch(text) is None:
        return f"{text!r} is no version: type three numbers, such as 0.2.0."
    headings = dict(HEADING.findall((root / "CHANGELOG.md").read_text(encoding="utf-8")))
    waiting = [version for version, date in headings.items() if date == "unreleased" and version != text]
    if waiting:
        return f"CHANGELOG.md has changes of {waiting[0]}, which is not released: type that version."
    newest = max((Version(version) for version, date in headings.items() if date != "unreleased"), default=None)
    if newest is not None and Version(text) <= newest:
        return f"{text} is not newer than {newest}, which is released: type a later one."
    return None


def release(root: Path, version: Version, date: str | None = None) -> None:
    """Set a version everywhere, and write its part of the changelog.

    Args:
        root: of the repository.
        version: the new one.
        date: of the release, such as 2026-12-01; today's if None.
    """
    date = date or datetime.datetime.now(datetime.UTC).date().isoformat()
    for path in projects(root):
        document = tomlkit.parse(path.read_text(encoding="utf-8"))
        said: Any = document["project"]
        said["version"] = str(version)
        for required in requirements(said) if path.parent != root else ():
            for place, requirement in enumerate(required):
                if is_own(requirement):
                    required[place] = bounded(requirement, version)
        path.write_text(tomlkit.dumps(document), encoding="utf-8")
    citation = root / "CITATION.cff"
    text = DATED.sub("", citation.read_text(encoding="utf-8"))
    citation.write_text(CITED.sub(f"version: {version}\ndate-released: {date}", text), encoding="utf-8")
    write_changelog(root, version, date)


def write_changelog(root: Path, version: Version, date: str) -> None:
    """Have towncrier write what the fragments say, and join it with what was written by hand of this version."""
    command = ["build", "--yes", "--version", str(version), "--date", date, "--dir", str(root)]
    subprocess.run([sys.executable, "-m", "towncrier", *command], cwd=root, check=True)
    changelog = root / "CHANGELOG.md"
    changelog.write_text(joined(changelog.read_text(encoding="utf-8"), version), encoding="utf-8")


def joined(changelog: str, version: Version) -> str:
    """The changelog with the section "(unreleased)" of a version in the section that was made of its fragments."""
    parts = re.split(r"^(?=## )", changelog, flags=re.MULTILINE)
    by_hand = next((part for part in parts if part.startswith(f"## {version} (unreleased)\n")), None)
    if by_hand is None:
        return changelog
    made = next(place for place, part in enumerate(parts) if part.startswith(f"## {version} ("))
    heading, sections = parts[made].splitlines()[0], categories(parts[made])
    for name, entries in categories(by_hand).items():
        sections[name] = f"{sections[name]}\n\n{entries}" if name in sections else entries
    parts[made] = "\n\n".join([heading, *(f"### {name}\n\n{entries}" for name, entries in sections.items())]) + "\n\n"
    parts.remove(by_hand)
    return "".join(parts).rstrip() + "\n"


def categories(section: str) -> dict[str, str]:
    """The entries of a version: category -> text."""
    found = re.split(r"^### (.+)\n", section, flags=re.MULTILINE)[1:]
    return {name: entries.strip() for name, entries in zip(found[::2], found[1::2], strict=True)}


# -- a version that is set --------------------------------------------------------------------------------------------


def torn(root: Path) -> list[str]:
    """Where packages, bounds or the citation do not have the version of hybridopt, as sentences."""
    said = {path.parent.name: project(path) for path in projects(root)[1:]}
    version = Version(project(root / "pyproject.toml")["version"])
    wrong = [f"{name} has the version {one['version']}" for name, one in said.items() if one["version"] != str(version)]
    wrong += [
        f"{name} requires {requirement}, and not {bounded(requirement, version)}"
        for name, one in said.items()
        for required in requirements(one)
        for requirement in filter(is_own, required)
        if Requirement(requirement).specifier != Requirement(f"x{bounds(version)}").specifier
    ]
    cited = CITED.findall((root / "CITATION.cff").read_text(encoding="utf-8"))
    wrong += [f"CITATION.cff has {line!r}" for line in cited if line != f"version: {version}"]
    return [f"{one}: one version holds for all packages, and hybridopt has {version}." for one in wrong]


def unfit(root: Path, tag: str) -> list[str]:
    """Why a tag may not be published, as sentences; empty if it may."""
    version = project(root / "pyproject.toml")["version"]
    wrong = torn(root)
    if tag != f"v{version}":
        wrong.append(f"The tag {tag} is not that of the version: tag v{version}, or set the version first.")
    headings = dict(HEADING.findall((root / "CHANGELOG.md").read_text(encoding="utf-8")))
    if headings.get(version, "unreleased") == "unreleased":
        wrong.append(f"CHANGELOG.md has no date for {version}: type python scripts/tools/release.py {version}.")
    return wrong


if __name__ == "__main__":
    main()
