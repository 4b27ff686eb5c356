"""What the image is built from: for any builder, without secrets, and with every variable explained."""

import re
import shutil
import subprocess

import pytest
from pretend_host import ROOT

SCRIPTS = sorted((ROOT / "docker").glob("*.sh"))
DOCUMENTED = (
    "DATASET MLFLOW_TRACKING_URI NEPTUNE_API_TOKEN NEPTUNE_PROJECT MLFLOW_PORT TENSORBOARD_PORT JUPYTER_PORT "
    "GPUS SHM_SIZE JUPYTER_TOKEN TZ"
)


def dockerfile() -> str:
    lines = (ROOT / "docker/Dockerfile").read_text().splitlines()
    return "\n".join(line for line in lines if not line.startswith("#"))


def test_shellcheck_finds_nothing() -> None:
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed")
    files = [str(path.relative_to(ROOT)) for path in SCRIPTS]
    done = subprocess.run(["shellcheck", "-x", *files], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_any_builder_can_build_it() -> None:
    text = (ROOT / "docker/Dockerfile").read_text()
    assert "syntax=" not in text
    assert not re.search(r"RUN --|COPY --|ADD --|<<", dockerfile())


def test_dependencies_come_before_what_changes_more_often() -> None:
    text = dockerfile()
    copied = re.findall(r"^COPY (\S+)", text, re.MULTILINE)
    assert copied == ["requirements.lock", "docker/shell/"]  # the source is mounted, never copied
    assert text.index("uv pip install") < text.index("COPY docker/shell/") < text.index("ARG USER_UID")


def test_the_build_context_is_an_allow_list() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] not in ("", "#")]
    assert lines[0] == "*"
    assert lines[1:] == ["!requirements.lock", "!docker/shell"]


def test_env_default_explains_every_variable_a_script_reads() -> None:
    text = (ROOT / ".env.default").read_text()
    explained = set(re.findall(r"^(?:# )?([A-Z_]+)=", text, re.MULTILINE))
    assert explained == set(DOCUMENTED.split())
    scripts = "".join(path.read_text() for path in SCRIPTS)
    read = set(re.findall(r"setting ([A-Z_]+)", scripts)) | set(re.findall(r"([A-Z_]+_PORT):", scripts))
    assert read <= explained


def test_env_default_sets_no_secret_and_needs_no_quotes() -> None:
    values = re.findall(r"^([A-Z_]+)=(.*)$", (ROOT / ".env.default").read_text(), re.MULTILINE)
    assert not [name for name, _ in values if "TOKEN" in name]
    assert all(re.fullmatch(r"\w+", value) for _, value in values)
