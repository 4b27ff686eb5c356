"""A real MLflow server that is slow, down, or full: training goes on, nothing is lost or comes twice."""

import http.server
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from in_mlflow import assert_all_is_there_once
from in_process import start
from mlflow_server import Server
from whole_command import QUICK, the_run

from workbench.run.metrics_file import read_metrics
from workbench.run.summary import read_summary
from workbench.tracking.sync import sync

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own dependencies warn as they like
WORDS = [*QUICK, "loggers=mlflow", "save_model=false", "trainer.log_every_n_steps=1"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "server").mkdir()
    server = Server(tmp_path / "server")
    server.start()
    yield server
    server.kill()


def warnings_in(errors: str) -> list[str]:
    return [line for line in errors.splitlines() if line.startswith("mlflow ")]


@contextmanager
def delaying_proxy(uri: str, seconds: float) -> Iterator[str]:
    """Hand every request on, and every answer back so much later."""

    class Proxy(http.server.BaseHTTPRequestHandler):
        def hand_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name: text for name, text in self.headers.items() if name != "Host"}
            request = urllib.request.Request(uri + self.path, body or None, headers, method=self.command)
            try:
                answer = urllib.request.urlopen(request)
            except urllib.error.HTTPError as refusal:
                answer = refusal
            content = answer.read()
            time.sleep(seconds)
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers.get("Content-Type", ""))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = hand_on

        def log_message(self, *_: object) -> None: ...

    proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{proxy.server_address[1]}"
    proxy.shutdown()


def test_answers_that_take_five_seconds(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with delaying_proxy(server.uri, 5.0) as slow:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", slow)
        start(*WORDS, f"outputs={tmp_path}")
    folder = the_run(tmp_path)
    errors = capsys.readouterr().err
    with capsys.disabled():
        print(f"the training took {read_metrics(folder)[-1].time - read_summary(folder)['started']:.0f} s")
        print(*warnings_in(errors), sep="\n")
    assert "Traceback" not in errors
    if warnings_in(errors):  # on a busy machine an answer may take longer than the ten seconds it is given
        missing = warnings_in(errors)[-1]
        assert missing.endswith(f"python src/sync.py {folder}")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        assert sync([str(folder)])
    assert_all_is_there_once(server.uri, folder)


def test_a_server_that_is_down_all_along_is_sent_everything_later(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    server.kill()
    assert start(*WORDS, f"outputs={tmp_path}")
    folder = the_run(tmp_path)
    assert read_summary(folder)["status"] == "finished"
    errors = capsys.readouterr().err
    down, missing = warnings_in(errors)
    assert down.startswith("cannot reach mlflow")
    assert missing.endswith(f"python src/sync.py {folder}")
    assert "Traceback" not in errors
    server.start()
    assert sync([str(folder)])
    assert_all_is_there_once(server.uri, folder)
    (folder / "trackers.json").unlink()  # nobody remembers what was sent
    assert sync([str(folder)])
    assert_all_is_there_once(server.uri, folder)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small disk can only be mounted by root")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            return filler
    raise AssertionError("the disk is not full")


def test_a_server_whose_disk_is_full_is_sent_everything_once_there_is_room(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(small_disk)
    server.start()
    try:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        filler = fill(small_disk)
        assert start(*WORDS, f"outputs={tmp_path}")
        folder = the_run(tmp_path)
        assert read_summary(folder)["status"] == "finished"
        assert not sync([str(folder)])
        filler.unlink()
        assert sync([str(folder)])
        assert_all_is_there_once(server.uri, folder)
    finally:
        server.kill()
