"""Neptune: its real client, offline, in the run folder; a server only where one answers."""

import base64
import http.server
import json
import logging
import socket
import threading
import time
from pathlib import Path

import pytest
from pretend_run import train, write_png

from workbench.tracking.neptune import NeptuneTracker, answers, server_address
from workbench.tracking.tracker import RunDescription
from workbench.tracking.uploader import Mirror

pytestmark = pytest.mark.usefixtures("neptune_imported")


def mirror(run: RunDescription) -> None:
    feed = Mirror(run.folder, {"neptune": NeptuneTracker()}, run)
    feed.start()
    feed.close("finished")


def operations(folder: Path) -> list[dict]:
    """What the client would send to a server, in order."""
    logs = (folder / ".neptune" / "offline").glob("run__*/data-*.log")
    return [json.loads(line)["obj"] for log in logs for line in log.read_text().splitlines()]


def series(folder: Path, name: str) -> list[tuple[float, float]]:
    found = [o for o in operations(folder) if o["type"] == "LogFloats" and "/".join(o["path"]) == name]
    return [(point["step"], point["value"]) for operation in found for point in operation["values"]]


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEPTUNE_API_TOKEN", raising=False)
    monkeypatch.setenv("NEPTUNE_DATA_DIRECTORY", "")  # put back afterwards


def token(address: str) -> str:
    return base64.b64encode(json.dumps({"api_address": address}).encode()).decode()


def test_a_resumed_run_lies_offline_once_with_everything(
    folder: Path, description: RunDescription, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture
) -> None:
    train(folder, last=13)
    mirror(description)
    train(folder, first=10)
    write_png(folder / "figures" / "curves.png")
    mirror(description)
    assert series(folder, "train/loss") == [(step, 1 / (step + 1)) for step in range(20)]
    assert series(folder, "val/accuracy") == [(0, 0.09), (1, 0.19)]
    assigned = {"/".join(o["path"]): o["value"] for o in operations(folder) if "value" in o}
    assert assigned["hparams/optimizer"] == "SGD" and assigned["hparams/schedule"] == "None"
    assert assigned["sys/description"] == "why I ran this"
    assert assigned["tags/author"] == "me" and assigned["status"] == "finished"
    uploads = {path.name.split("-")[0] for path in folder.glob(".neptune/offline/*/upload_path/*")}
    assert uploads == {"config", "figures_curves"}
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) == 2 and all("closed on 5 March 2026" in line for line in said)  # once each start
    assert "[neptune] [info" not in "".join(capfd.readouterr())


def test_values_that_are_no_number_do_not_stop_the_rest(folder: Path, description: RunDescription) -> None:
    from workbench.train.step_log import RunLogger

    logger = RunLogger(folder)
    for step, value in enumerate([1.0, float("nan"), float("inf"), 2.0]):
        logger.log_steps({"loss": value}, epoch=0, step=step)
    mirror(description)
    assert series(folder, "loss") == [(0, 1.0), (3, 2.0)]


def test_a_server_that_does_not_answer_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("NEPTUNE_API_TOKEN", token(address))
        began = time.monotonic()
        assert server_address() == address
        assert not answers(address)
        assert time.monotonic() - began < 10  # the client itself waits for more than a quarter of an hour
    assert not answers(address)  # nobody listens any more


def test_a_server_that_answers_is_found() -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert answers(f"http://127.0.0.1:{server.server_port}")
        thread.join()


@pytest.mark.parametrize(
    "value", ["", "no base64!", base64.b64encode(b"[]").decode(), base64.b64encode(b"{}").decode()]
)
def test_a_token_that_cannot_be_read_names_no_server(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEPTUNE_API_TOKEN", value)
    assert server_address() is None


def test_a_token_of_the_closed_service_names_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEPTUNE_API_TOKEN", token("https://app.neptune.ai"))
    assert server_address() is None
