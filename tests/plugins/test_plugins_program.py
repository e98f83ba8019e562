"""The program ``hybridopt-plugins`` as a user types it: pages, exit codes, completion, and packages that misbehave."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_packages import install, install_configs, on_path

from hybridopt.composition import registry
from hybridopt.programs.plugins import cli, isolated, showing

SIZE = "def make(size: int = int('3')):\n    '''A thing.\n\n    More of it.\n    '''\n"  # a default that cannot be read
FAULTS = {  # what a module does when imported, and the word for it
    "raises": ("raise RuntimeError('boom')\n", "RuntimeError: boom"),
    "exits": ("import sys\nsys.exit(3)\n", "SystemExit: 3"),
    "dies": ("import os\nos._exit(7)\n", "exit code 7"),
    "hangs": ("import time\ntime.sleep(600)\n", "not done after 3 seconds"),
    "reads": ("input()\n", "EOFError"),
}


def run(*arguments: str, site: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(site)} | variables
    command = [sys.executable, "-m", "hybridopt.programs.plugins", *arguments]
    return subprocess.run(command, cwd=site, env=environment, capture_output=True, text=True, check=False)


def called(*arguments: str) -> int:
    """The exit code of the program in this process."""
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    return stop.value.code or 0


# -- show -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.slow] if kind == "callback" else []) for kind in registry.GROUPS]
)
def test_every_plugin_has_a_page(
    kind: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind != "callback":  # some of which are Lightning's, whose source does not tell
        monkeypatch.setattr(showing, "_imported", lambda plugin, *_: pytest.fail(f"{plugin.name} is not read, but run"))
    for name in registry.names(kind):
        plugin = registry.find(kind, name)
        assert called("show", kind, name, "--json") == 0
        page = json.loads(capsys.readouterr().out)
        assert page["docstring"].startswith(plugin.describe().summary)
        assert [setting["name"] for setting in page["settings"]] == [p.name for p in plugin.describe().parameters]
        path, _, line = page["file"].rpartition(":")
        assert plugin.entry_point.attr.rpartition(".")[2] in Path(path).read_text().splitlines()[int(line) - 1]


def test_a_page_says_types_defaults_needs_and_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert called("show", "strategy", "adam") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    for said in (
        ["lr", "float", "|", "null", "0.003"],
        ["betas", "list[float]", "[0.9,", "0.999]"],
        ["eps", "float", "1e-08"],
        ["amsgrad", "bool", "false"],
        ["schedule", "constant", "|", "linear", "|", "cosine", "|", "exponential", "cosine"],
        ["needs", "an", "objective", "that", "has", "a", "gradient"],
        ["try", "hybridopt", "strategy=adam", "strategy.lr=0.003"],
    ):
        assert said in lines
    assert called("show", "dataset", "arrays") == 0
    assert "(must be given)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("adam", "an objective that has a gradient"),
        (
            "forward_gradient",
            "an objective that has a gradient; no encoding (encoding=direct); asks the oracle for jvp and losses",
        ),
        ("ema", "whatever its parts need of objective and encoding"),
        ("lottery_ticket", "whatever its parts need of objective and encoding"),
    ],
)
def test_a_page_says_what_a_strategy_needs(name: str, needs: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert called("show", "strategy", name, "--json") == 0
    assert json.loads(capsys.readouterr().out)["needs"] == needs


def test_what_cannot_be_read_is_imported_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = install(tmp_path, "acme", "print('noise')\n" + SIZE, model={"thing": "make"})
    with on_path(tmp_path):
        assert called("show", "model", "thing", "--json") == 0
        assert module not in sys.modules
    page = json.loads(capsys.readouterr().out)
    assert page["docstring"] == "A thing.\n\nMore of it."
    assert page["settings"] == [{"name": "size", "type": "int", "default": "3"}]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_package_that_misbehaves_is_described_as_far_as_it_goes(fault: str, tmp_path: Path) -> None:
    source, word = FAULTS[fault]
    install(tmp_path, "acme", source + SIZE, model={"thing": "make"})
    started = time.monotonic()
    limit = "3" if fault == "hangs" else "300"
    done = run("show", "model", "thing", "--timeout", limit, site=tmp_path)
    assert time.monotonic() - started < 500  # the package sleeps for 600
    assert done.returncode == 1
    assert "More of it." in done.stdout
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("The model plugin 'thing' of the package 'acme' ")
    assert word.replace(": ", " (") in sentence or word in sentence
    assert sentence.endswith(".")


# -- list, check, and mistakes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["list", "strateggy"], "Choose from: "),
        (["show", "strategy", "adm"], "Did you mean 'adam'?"),
        (["check", "strategy", "adm"], "Did you mean 'adam'?"),
        (["check", "hybridop"], "Did you mean 'hybridopt'?"),
        (["check", "strategie", "adam"], "Did you mean 'strategy'?"),
        (["check", "a", "b", "c"], "such as check strategy adam"),
        (["new", "hybridopt-mine", "--kind", "callback"], "invalid choice"),
        (["doctor", "--timeout", "0"], "invalid _seconds value: '0'"),
        ([], "required: COMMAND"),
    ],
)
def test_mistakes_end_with_2_and_say_what_to_type(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(*arguments) == 2
    caught = capsys.readouterr()
    assert named in caught.err
    assert caught.out == ""


@pytest.mark.parametrize("what", ["strategy", "hybridopt", "HybridOpt"])
def test_a_list_of_a_kind_or_a_package_has_no_others(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert called("list", what, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["kind"] if what == "strategy" else row["package"] for row in rows} == {what.lower()}


@pytest.mark.parametrize(
    "command", [[], ["list"], ["show"], ["check"], ["new"], ["doctor"], ["completion"]], ids=" ".join
)
def test_every_command_has_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert called(*command, "--help") == 0
    assert capsys.readouterr().out.startswith("usage: hybridopt-plugins")


def test_checks_say_what_fails_and_harm_nobody_else(tmp_path: Path) -> None:
    install(tmp_path, "acme", "raise RuntimeError('boom')\n", model={"broken": "make"})
    install(tmp_path, "zenith", "import os\nos._exit(7)\n", model={"deadly": "make"})
    failing = run("check", "acme", site=tmp_path)
    assert failing.returncode == 1
    assert "fails  model broken (acme): 0 of 1 checks" in failing.stdout
    assert "boom" in failing.stdout
    deadly = run("check", "model", "deadly", "--json", site=tmp_path)
    assert deadly.returncode == 1
    (report,) = json.loads(deadly.stdout)
    assert report["failures"]["the kit"].endswith("it ends the process (exit code 7).")
    done = run("check", "model", "hybridopt:linear", site=tmp_path)
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1].endswith("checks of 1 plugin: all pass.")


# -- completion -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("hybridopt-plugins l", ["list"]),
        ("hybridopt-plugins show ", sorted(registry.GROUPS)),
        ("hybridopt-plugins show strategy ad", ["adam", "adamezo", "adamw"]),
        ("hybridopt-plugins check hybrid", ["hybridopt"]),
        ("hybridopt-plugins check encoding ", registry.names("encoding")),
        ("hybridopt-plugins new mine --kind o", ["objective"]),
        ("hybridopt-plugins new mine --k", ["--kind"]),
        ("hybridopt-plugins nonsense ", []),
    ],
)
def test_completion(
    line: str, offered: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COMP_LINE", line)
    assert called("completions", "hybridopt-plugins", "", "") == 0
    found = capsys.readouterr().out.split()
    assert [name for name in found if not name.startswith("hybridopt-")] == offered


def test_bash_takes_the_completion(tmp_path: Path) -> None:
    done = run("completion", site=tmp_path)
    bash = subprocess.run(["bash", "-c", f"{done.stdout}\ncomplete -p"], capture_output=True, text=True, check=True)
    assert "hybridopt-plugins completions" in bash.stdout


# -- isolation --------------------------------------------------------------------------------------------------------


def items(root: Path, **sources: str) -> list[dict[str, str]]:
    """A model of each of these sources, each in a package of its own."""
    found = []
    for name, source in sources.items():
        module = install(root, name, source, model={name: "make"})
        found.append({"kind": "model", "name": name, "package": name, "module": module})
    return found


def test_each_item_is_answered_whatever_the_others_do(tmp_path: Path) -> None:
    fine = "def make():\n    pass\n"
    asked = items(
        tmp_path, first=fine, dies="import os\nos._exit(7)\n", hangs="import time\ntime.sleep(600)\n", last=fine
    )
    asked.insert(3, asked[2])  # of the same module: it is not tried, and not waited for again
    started = time.monotonic()
    with on_path(tmp_path):
        answers = list(isolated.answers("load", asked, limit=15))
    assert time.monotonic() - started < 500  # the package sleeps for 600
    assert [answer.fault for answer in answers] == [
        None,
        "it ends the process (exit code 7)",
        "it is not done after 15 seconds",
        "it is not done after 15 seconds",
        None,
    ]


def test_what_is_printed_is_caught_below_python_too(tmp_path: Path) -> None:
    source = "import os, sys\nprint('one')\nos.write(2, b'two')\nsys.stdout.write('three')\ndef make(): ...\n"
    with on_path(tmp_path):
        (answer,) = isolated.answers("load", items(tmp_path, noisy=source), limit=60)
    assert answer.fault is None
    assert {word for word in ("one", "two", "three") if word in answer.noise} == {"one", "two", "three"}


def test_nothing_is_left_running(tmp_path: Path) -> None:
    source = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n"
        "def make(): ...\n"
    )
    with on_path(tmp_path):
        list(isolated.answers("load", items(tmp_path, forks=source), limit=60))
    status = Path(f"/proc/{(tmp_path / 'pid').read_text()}/status")
    end = time.monotonic() + 500
    while status.exists() and "zombie" not in status.read_text() and time.monotonic() < end:
        time.sleep(0.1)
    assert not status.exists() or "zombie" in status.read_text()


def test_configs_are_listed_with_the_plugins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install_configs(tmp_path, "acme", {"experiment/fast.yaml": "# @package _global_\n# A fast one.\nseed: 3\n"})
    with on_path(tmp_path):
        assert called("list", "config") == 0
    rows = [line.split()[:3] for line in capsys.readouterr().out.splitlines()]
    assert ["config", "experiment/fast", "acme"] in rows
