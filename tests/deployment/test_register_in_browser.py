"""Opt-in (make test-registry): register a run's model on MLflow's own page, then use and serve it."""

import base64
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from mlflow_server import Server
from whole_command import ROOT

from workbench.models.register import publish

pytestmark = [
    pytest.mark.skipif("PATCHSETS_TEST_REGISTRY" not in os.environ, reason="opt-in: make test-registry"),
    pytest.mark.filterwarnings("ignore"),
]
Found = TypeVar("Found")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[object]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    words = "headless no-sandbox disable-gpu disable-background-networking window-size=1400,1000"
    for word in [*words.split(), f"user-data-dir={tmp_path / 'chromium'}"]:
        options.add_argument(f"--{word}")
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    yield driver
    driver.quit()


def test_register_on_the_page_then_predict_and_serve(
    run_folder: Path, images: Path, tmp_path: Path, server: Server, browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    client, run = publish(run_folder)
    browser.get(f"{server.uri}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}")
    register_as("kinoko", browser)
    version = until(lambda: client.search_model_versions("name='kinoko'"))[0]
    assert version.run_id == run.info.run_id
    until(lambda: "v1" in browser.page_source or "Model registered" in browser.page_source)
    browser.save_screenshot(str(tmp_path / "registered.png"))

    words = ["model=models:/kinoko/1", f"input={images}", f"output={tmp_path / 'answers'}"]
    command = [sys.executable, str(ROOT / "src/inference.py"), *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in (tmp_path / "answers/predictions.jsonl").open()]
    assert {answer["model"] for answer in answers} == {"kinoko version 1"}

    picture = next(images.rglob("*.png"))
    served = serve("models:/kinoko/1", picture, tmp_path)
    (said,) = [answer for answer in answers if Path(answer["path"]).name == picture.name]
    assert served["class"] == said["class"]
    np.testing.assert_allclose(served["probability"], said["probability"], atol=1e-6)


def register_as(name: str, browser) -> None:
    """Press what a person presses."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    def shown(how: str, what: str):
        return until(lambda: [found for found in browser.find_elements(how, what) if found.is_displayed()])[0]

    shown(By.XPATH, "//button[contains(., 'Register model')]").click()
    dialog = "//*[@role='dialog']"
    shown(By.XPATH, f"{dialog}//input").click()
    shown(By.XPATH, "//*[contains(@class, 'select-item-option') and contains(., 'Create New Model')]").click()
    shown(By.XPATH, f"{dialog}//input[@placeholder='Input a model name']").send_keys(name, Keys.TAB)
    shown(By.XPATH, f"{dialog}//button[normalize-space(.)='Register']").click()


def serve(uri: str, picture: Path, folder: Path) -> dict[str, object]:
    """Ask `mlflow models serve`, started where nothing of this workspace is on the path."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", uri, "--env-manager", "local"]
    image = base64.b64encode(picture.read_bytes()).decode()
    question = json.dumps({"dataframe_records": [{"image": image}]}).encode()
    url = f"http://127.0.0.1:{port}"
    programs = (
        f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # MLflow calls uvicorn by name
    )
    with (folder / "serve.log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            cwd=folder,
            env=os.environ | {"PATH": programs},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            until(lambda: answers(f"{url}/ping"))
            headers = {"Content-Type": "application/json"}
            request = urllib.request.Request(f"{url}/invocations", question, headers)
            return json.load(urllib.request.urlopen(request))["predictions"][0]
        finally:
            os.killpg(process.pid, 9)
            process.wait()


def answers(url: str) -> bool:
    try:
        return urllib.request.urlopen(url, timeout=1).status == 200
    except OSError:
        return False


def until(condition: Callable[[], Found]) -> Found:
    deadline = time.monotonic() + 300
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found
