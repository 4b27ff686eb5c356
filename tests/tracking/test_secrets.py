"""A token in the environment reaches no file, no store and no artifact."""

import html
import json
import re
import shlex
import sqlite3
from collections.abc import Callable
from pathlib import Path
from textwrap import indent
from urllib.parse import quote, quote_plus

import pytest
import yaml
from pretend_run import train, write_png

from workbench.common import redaction as secrets
from workbench.common.redaction import is_secret_name, redact
from workbench.common.workspace import load_env, read_env
from workbench.distributed.workers import find_failure, leave_note
from workbench.tracking.csv_tables import CsvTracker
from workbench.tracking.mlflow import MlflowTracker
from workbench.tracking.neptune import NeptuneTracker
from workbench.tracking.tensorboard import TensorboardTracker
from workbench.tracking.tracker import RunDescription
from workbench.tracking.uploader import Mirror

TOKEN = "planted-4711-token"


@pytest.mark.parametrize(
    "name",
    ["NEPTUNE_API_TOKEN", "db_password", "OPENAI_APIKEY", "api_key", "aws_credentials", "auth", "githubPat"],
)
def test_names_of_secrets_are_known(name: str) -> None:
    assert is_secret_name(name)


HARMLESS = ("author", "authors_note", "monkey", "keyboard", "keypoints", "model.heads", "pattern", "path",
            "batch_size", "num_tokens", "tokenizer", "sort_key", "bypass", "HOME", "PWD")  # fmt: skip


@pytest.mark.parametrize("name", HARMLESS)
def test_plain_names_are_let_through(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_secret_name(name)
    if name not in ("num_tokens", "sort_key"):  # as variables these are too near to a secret's name
        monkeypatch.setenv(name.upper(), "value-of-it")
        assert redact("value-of-it") == "value-of-it"


def test_harmless_text_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SORT_KEY", "filename")
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", "postgres://postgres:postgres@db/one")
    text = f"""the filename in {tmp_path}, by postgres: author, monkey, keyboard, model.heads, authors_note
        https://example.org:5000/mlflow and me@example.org, https://unpkg.com:443/react@17, ssh://git@h/x
        https://h/x?sort_key=name&a=b {{"a": "http://x:80", "b": "me@x"}} f"redis://{{user}}:{{word}}@h" """
    assert redact(text) == text


ADDRESSES = {
    "postgres://u:pw@h/x": "postgres://u:***@h/x",
    "mysql://u:p@ss@h/x": "mysql://u:***@h/x",
    "redis://:pw@h": "redis://:***@h",
    "https://ghp_0123456789abcdefghij@github.com/a/b": "https://***@github.com/a/b",
    "see https://h/x?a=1&password=pw&b=2.": "see https://h/x?a=1&password=***&b=2.",
    "https://blob/c?sv=1&sig=a%2Fb": "https://blob/c?sv=1&sig=***",
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_password_in_an_address_is_blanked_whoever_wrote_it(address: str) -> None:
    assert redact(address) == ADDRESSES[address]


WAYS: dict[str, Callable[[str], str]] = {
    "shell": shlex.quote,
    "repr": repr,
    "ascii": ascii,
    "json": json.dumps,
    "unicode json": lambda text: json.dumps(text, ensure_ascii=False),
    "path": quote,
    "query": quote_plus,
    "yaml": lambda text: yaml.safe_dump({"a": text}),
    "narrow yaml": lambda text: yaml.safe_dump(text, allow_unicode=True, width=12),
    "double-quoted yaml": lambda text: yaml.safe_dump(text, default_style='"', width=12),
    "single-quoted yaml": lambda text: yaml.safe_dump(text, default_style="'", width=12),
    "yaml block": lambda text: "a: |\n" + indent(text, "    "),
    "html": html.escape,
    "hydra": lambda text: text.replace('"', '\\"'),
    "diff": lambda text: indent(text, "+"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("secret", ["S3cr'quote\"19 ü:x\\ %z", "---A---\nMIIEa/b+c==\nzzzz9\n---B---"])
def test_a_secret_is_blanked_however_it_is_quoted(
    secret: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUOTED_PASSWORD", secret)
    for again in (str, *(WAYS[name] for name in ("shell", "repr", "json", "unicode json", "hydra"))):
        in_lines = way[-4:] in ("yaml", "lock", "diff")
        if (way, again) == ("shell", shlex.quote) or (in_lines and again is not str):
            continue  # nobody quotes what a shell has quoted for a shell, or lines of a file
        written = again(WAYS[way](f"a b {secret} c"))
        assert "***" in redact(written), written
        assert not re.search("S3cr|quote|MIIE|zzzz9", redact(written)), written


def test_the_note_of_a_failed_rank_holds_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWO_LINES_KEY", "planted-1\nplanted-2")
    try:
        raise ValueError("it is planted-1\nplanted-2")
    except ValueError as error:
        leave_note(tmp_path, 1, error)
    failure = find_failure(tmp_path)
    assert str(failure) == "rank 1: ValueError: it is ***"
    assert "planted" not in (tmp_path / ".rank_1.json").read_text()


def test_only_values_long_enough_to_be_secrets_are_blanked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "abcdef")
    monkeypatch.setenv("OTHER_TOKEN", "abcdefgh")
    monkeypatch.setenv("USE_TOKEN", "true")
    assert redact("true abcdefgh abcdef") == "true *** ***"


def test_the_env_file_counts_and_never_wins_over_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ".env"
    path.write_text(f"# where\nA_TOKEN='{TOKEN}'\nB_TOKEN=from-the-file\nEMPTY=\n")
    monkeypatch.setattr(secrets, "read_env", lambda: read_env(path))
    assert redact(f"{TOKEN} from-the-file") == "*** ***"
    monkeypatch.setenv("A_TOKEN", "")
    monkeypatch.delenv("A_TOKEN")  # both are put back afterwards
    monkeypatch.setenv("B_TOKEN", "from-outside")
    load_env(path)
    import os

    assert (os.environ["A_TOKEN"], os.environ["B_TOKEN"]) == (TOKEN, "from-outside")
    assert "EMPTY" not in os.environ


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("neptune_imported")
def test_no_tracker_keeps_a_planted_token(
    folder: Path, description: RunDescription, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_TOKEN", TOKEN)
    monkeypatch.setenv("NEPTUNE_API_TOKEN", TOKEN)
    monkeypatch.setenv("NEPTUNE_DATA_DIRECTORY", "")  # put back afterwards
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/store/mlflow.db")
    given = [folder / "config.yaml", folder / "train.log"]
    for path in given:
        path.write_text(f"the key is {TOKEN}\n")
    description.tags["note"] = f"run with {TOKEN}"
    description.hparams["path"] = f"/data/{TOKEN}/images"
    train(folder)
    write_png(folder / "figures" / "curves.png")
    trackers = [TensorboardTracker(), CsvTracker(), MlflowTracker(), NeptuneTracker()]
    mirror = Mirror(folder, {tracker.name: tracker for tracker in trackers}, description)
    mirror.start()
    mirror.close("finished", wait=60)
    for path in given:
        path.unlink()  # what training wrote itself is not the trackers' matter
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"tensorboard", "csv", ".neptune", "store"} <= {part for path in written for part in path.parts}
    assert [path for path in written if TOKEN.encode() in path.read_bytes()] == []
    with sqlite3.connect(tmp_path / "store" / "mlflow.db") as store:
        assert store.execute("SELECT value FROM tags WHERE key = 'note'").fetchall() == [("run with ***",)]
    store.close()
    kept = next((tmp_path / "store" / "artifacts").rglob("config.yaml"))
    assert kept.read_text() == "the key is ***\n"
