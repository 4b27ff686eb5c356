"""requirements.lock pins and hashes everything but torch; `make` hands pip's settings on to uv."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from whole_command import ROOT

LINES = (ROOT / "requirements.lock").read_text().splitlines()


def test_every_package_has_an_exact_version_and_hashes() -> None:
    starts = [place for place, line in enumerate(LINES) if line[0].isalnum()]
    assert len(starts) > 100
    for begin, end in zip(starts, [*starts[1:], len(LINES)], strict=True):
        (specifier,) = Requirement(LINES[begin].rstrip(" \\")).specifier
        assert specifier.operator == "=="
        hashes = LINES[begin + 1 : end]
        assert hashes and all(re.fullmatch(r" {4}--hash=sha256:[0-9a-f]{64}( \\)?", line) for line in hashes)


def test_it_holds_what_pyproject_asks_for_and_names_torch() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *(each for name in extras if name != "bench" for each in extras[name])]
    locked = {Requirement(line.rstrip(" \\")).name: line for line in LINES if line[0].isalnum()}
    torch = LINES[0].removeprefix("# then: ")
    for requirement in map(Requirement, asked):
        if requirement.name == "torch":
            assert str(requirement) == torch
        else:
            (version,) = Requirement(locked[requirement.name].rstrip(" \\")).specifier
            assert requirement.specifier.contains(version.version), requirement.name


@pytest.mark.parametrize(
    ("pip", "uv"),
    [
        ("PIP_INDEX_URL", "UV_DEFAULT_INDEX"),
        ("PIP_EXTRA_INDEX_URL", "UV_INDEX"),
        ("PIP_FIND_LINKS", "UV_FIND_LINKS"),
        ("PIP_CERT", "SSL_CERT_FILE"),
    ],
)
def test_pips_settings_reach_uv_and_are_not_printed(pip: str, uv: str, tmp_path: Path) -> None:
    shown = tmp_path / "shown.mk"
    shown.write_text(f"include {ROOT}/Makefile\nshow:\n\t@printenv {uv}\n")
    prefixes = ("PIP_", "UV_", "SSL_")
    others = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}

    def make(*words: str, **variables: str) -> str:
        command = ["make", "-s", "-C", str(ROOT), "-f", str(shown), *words]
        done = subprocess.run(command, env=others | variables, capture_output=True, text=True, check=True)
        return done.stdout

    assert make("show", **{pip: "mine"}) == "mine\n"
    assert make("show", **{pip: "mine", uv: "own"}) == "own\n"
    assert "mine" not in make("-n", "-B", ".venv/ready", **{pip: "mine"})
