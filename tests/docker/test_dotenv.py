"""The scripts read .env as python-dotenv does, which reads it for the trackers."""

import subprocess
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pretend_host import ROOT

READ = """
. "$0"; root=$1; load_env
for ((i = 0; i < ${#env_names[@]}; i++)); do printf '%s\\0%s\\0' "${env_names[i]}" "${env_values[i]}"; done
"""


def read(folder: Path) -> dict[str, str]:
    """Return what docker/common.sh reads from the .env of a folder."""
    command = ["bash", "-c", READ, str(ROOT / "docker/common.sh"), str(folder)]
    parts = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    return dict(zip(parts[:-1:2], parts[1::2], strict=True))


@pytest.mark.parametrize(
    "text",
    [
        "A=1\nB= two words \t# c\n\n  # c\nC=a#b\nD= #c\nE=#c\nF=\nexport G = x",
        'A="q \\"x\\" \\n\\t\\\\ \\q ü # no" # c\nB=\'s \\\' \\n "\' #c\nC="two\nlines"\n',
        "A=1\r\nB='x'\r\nC= y # z\r\n",
        "A=1\nB=${A}/${NOWHERE:-d}/${NOWHERE}\nC='${B}'\nA=2\nD=$A ${A}\nE=${D",
        "A=~/x y\nB=a'b\"c\nC=x#y # z # w\nlower=1\nA=",
        "",
    ],
)
def test_same_as_python_dotenv(tmp_path: Path, text: str) -> None:
    (tmp_path / ".env").write_text(text, newline="")
    assert read(tmp_path) == dotenv_values(tmp_path / ".env")


unquoted = st.text("ab \t#$\\{}:-'\"=", max_size=12).filter(lambda text: text.strip()[:1] not in ("'", '"'))
quoted = st.text("ab \t\n#$\\{}:-='\"", max_size=12).map(
    lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
)
references = st.sampled_from(["${A}", "x${B}y", "${NOWHERE:-a b}", "'${A}'", '"${A}${B}"'])
lines = st.tuples(st.sampled_from(["A=", "export B = ", " C= "]), unquoted | quoted | references).map("".join)


@settings(
    max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(lines, max_size=4))
def test_same_as_python_dotenv_whatever_is_written(tmp_path: Path, lines: list[str]) -> None:
    (tmp_path / ".env").write_text("\n".join(lines))
    assert read(tmp_path) == dotenv_values(tmp_path / ".env")
