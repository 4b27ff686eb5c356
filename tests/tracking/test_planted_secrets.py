"""Forty secrets planted in a workspace of its own, and looked for in all that a run writes, sends and shows.

Each has a core of letters and digits, which no quoting changes: it is found however it was written.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from whole_command import QUICK, ROOT

CORE = re.compile(rb"Zq\d\dKx7")
ENVIRONMENT = {
    "NEPTUNE_API_TOKEN": "Zq01Kx7",
    "MY_SECRET": "Zq02Kx7",
    "MLFLOW_TRACKING_PASSWORD": "Zq03Kx7",
    "AWS_SECRET_ACCESS_KEY": "Zq04Kx7/+a==",
    "AWS_ACCESS_KEY_ID": "Zq05Kx7",
    "WANDB_API_KEY": "Zq06Kx7",
    "GITHUB_PAT": "Zq07Kx7",
    "DB_PWD": "Zq08Kx7",
    "REGISTRY_AUTH": "Zq09Kx7",
    "DEPLOY_KEY": "Zq10Kx7",
    "SSH_PRIVATE_KEY": "-----BEGIN-----\nZq11Kx7/a+b==\nmore\n-----END-----\n",
    "SENTRY_DSN": "https://Zq12Kx7@sentry.example.org/4",
    "SLACK_WEBHOOK": "https://hooks.example.org/services/T0/Zq13Kx7",
    "SSHPASS": "Zq14Kx7",
    "SESSION_COOKIE": "Zq15Kx7",
    "CI_JWT": "Zq16Kx7",
    "TLS_PASSPHRASE": "Zq17Kx7 and spaces",
    "GIT_CREDENTIALS": "Zq18Kx7",
    "DATABASE_URL": "postgres://joe:Zq19Kx7%40x@db/one?sslmode=require",
    "HTTPS_PROXY": "http://me:Zq20Kx7@127.0.0.1:9",
    "PIP_EXTRA_INDEX_URL": "https://a.example.org/x https://Zq21Kx7aaaaaaaaaaaaa@b.example.org/y",
    "BLOB": "https://blob.example.org/c?sv=1&sig=Zq22Kx7%2Fx%3D",
    "ODBC": "Server=h;Uid=me;Password=Zq23Kx7;Port=1",
    "SERVICE_ACCOUNT": '{"type": "robot", "private_key": "Zq24Kx7", "project": "p"}',
    "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer Zq25Kx7",
    "QUOTED_PASSWORD": "S3cr'quote\"Zq26Kx7 ü:x\\ %z",
    "githubToken": "Zq27Kx7",
}
ENV_FILE = {
    "OF_FILE_TOKEN": "Zq28Kx7",
    "OF_FILE_PAT": "Zq29Kx7",
    "OF_FILE_URL": "mysql://joe:Zq30Kx7@db/one",
    "OF_FILE_PASSPHRASE": "Zq31Kx7 #'x",
}
HARMLESS_NAMES = {"PLAIN_A": "Zq32Kx7", "PLAIN_B": "Zq33Kx7"}  # which words of the command line refer to
TYPED = [
    "tags.literal=Zq02Kx7",
    "tags.address=postgres://u:Zq34Kx7@h/x",
    "tags.query='https://h/x?a=1&password=Zq35Kx7&b=2'",
    "tags.from_environment=${oc.env:PLAIN_A}",
    "tags.indirect=x-${tags.from_environment}",
    "model.place=${oc.env:PLAIN_B}",
    "+model.other=/data/Zq05Kx7/images",
    "note=the author's monkey at a keyboard, authors_note of model.heads; S3cr'quote\"Zq26Kx7 ü:x\\ %z",
]
DIFF = 'connect("postgres://u:Zq36Kx7@h/x")\nget("https://h/x?access_token=Zq37Kx7")\nclone("https://Zq38Kx7aaaaaaaaaaaaa@h")\n'
RAISED = "amqp://u:Zq39Kx7@h and https://h/y?api_key=Zq40Kx7"
FAILING = f"""
import json, os, shlex
from urllib.parse import quote, quote_plus
import yaml
from patchsets.model.set_transformer import SetTransformer
WAYS = (str, repr, ascii, json.dumps, shlex.quote, quote, quote_plus, yaml.safe_dump)

class Failing(SetTransformer):
    def __init__(self, place: str, other: str = "", **others):
        super().__init__(**others)

    def forward(self, *given):
        if self.training:
            values = [value for name, value in os.environ.items() if "Zq" in value and "PLAIN" not in name]
            values += {list(ENV_FILE.values())!r}
            try:
                raise KeyError(values)
            except KeyError as error:
                said = " ".join(way(value) for value in values for way in WAYS)
                raise ValueError(said + {RAISED!r}) from error
        return super().forward(*given)
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a copy of the workspace with a `.env`, a network that fails, and changes that git has not got."""
    place = tmp_path_factory.mktemp("planted") / "workspace"
    for name in ("src", "config"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", place)
    (place / "src/patchsets/model/failing.py").write_text(FAILING)
    preset = (ROOT / "config/model/set_transformer.yaml").read_text()
    preset = re.sub(r"_target_: .*", "_target_: patchsets.model.failing.Failing\n  place: here", preset)
    (place / "config/model/failing.yaml").write_text(preset)
    changed = place / "settings.py"
    changed.write_text("# nothing yet\n")
    (place / "docs").mkdir()
    (place / "docs/notes.txt").write_text("")
    for words in (
        ["init", "-q"],
        ["add", "settings.py", "docs"],
        ["-c", "user.name=a", "-c", "user.email=b", "commit", "-qm", "c"],
    ):
        subprocess.run(["git", *words], cwd=place, check=True)
    code = [f"{name} = {value!r}" for name, value in {**ENVIRONMENT, **ENV_FILE}.items()]
    changed.write_text("\n".join([*code, ENVIRONMENT["SSH_PRIVATE_KEY"], json.dumps(ENVIRONMENT), ""]))
    (place / "docs/notes.txt").write_text(DIFF)
    lines = [f"{name}={json.dumps(value)}\n" for name, value in ENV_FILE.items()]
    (place / ".env").write_text("".join(lines))
    return place


def test_forty_planted_secrets_are_found_nowhere(workspace: Path, empty_store: Path, tmp_path: Path) -> None:
    planted = f"{ENVIRONMENT}{ENV_FILE}{HARMLESS_NAMES}{TYPED}{DIFF}{RAISED}"
    assert len(set(CORE.findall(planted.encode()))) == 40
    loggers = "loggers=[tensorboard,csv,mlflow,neptune]"
    words = [*QUICK, "model=failing", f"outputs={tmp_path}/outputs", loggers, *TYPED]
    shutil.copytree(empty_store, tmp_path / "store")
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/store/mlflow.db"}
    done = subprocess.run(
        [sys.executable, "src/train.py", *words],
        cwd=workspace,
        env={**os.environ, **ENVIRONMENT, **HARMLESS_NAMES, **store},
        capture_output=True,
        timeout=300,
    )
    assert b"ValueError: " in done.stderr, done.stderr.decode()
    run = next((tmp_path / "outputs").glob("*/*/config.yaml")).parent.resolve()
    places = {"screen": done.stdout + done.stderr}
    places |= {str(path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with zipfile.ZipFile(run / "code.zip") as archive:
        places |= {f"code.zip/{name}": archive.read(name) for name in archive.namelist()}
    assert b"settings.py: it holds the value of a secret" in places["code.zip/LEFT_OUT.txt"]
    assert {name: CORE.findall(content) for name, content in places.items() if CORE.search(content)} == {}
    of_start = ("config.yaml", "overrides.yaml", "environment.json", "uncommitted.diff")
    named = ["config.yaml", "train.log", "summary.json", "csv/hparams.csv"]
    named += [f"starts/1/{name}" for name in of_start]
    reached = ["screen", *(str(run / name) for name in named), f"{tmp_path}/store/mlflow.db"]
    reached += [name for name in places if "tfevents" in name]
    assert [name for name in reached if b"***" not in places[name]] == []
    assert any(b"***" in content for name, content in places.items() if "/.neptune/" in name)
    config = (run / "config.yaml").read_text()
    assert "the author's monkey at a keyboard, authors_note of model.heads" in config.replace("''", "'")
    assert "${oc.env:PLAIN_A}" in (run / "csv/hparams.csv").read_text()
