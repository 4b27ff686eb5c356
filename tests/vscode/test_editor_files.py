"""The editor's files name what exists, by today's names."""

import json
import os
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ON_THE_HOST = {"ms-vscode-remote.remote-containers", "ms-azuretools.vscode-containers"}


def editor_file(name: str) -> dict[str, Any]:
    return dict(json.loads((ROOT / ".vscode" / name).read_text()))


def image_metadata() -> dict[str, Any]:
    """Return what the image tells an editor that attaches to it."""
    text = (ROOT / "docker/Dockerfile").read_text().replace("\\\n", "")
    (label,) = re.findall(r"devcontainer.metadata='(.*?)'", text)
    (metadata,) = json.loads(label)
    return dict(metadata)


def test_launchers() -> None:
    configurations = {each["name"]: each for each in editor_file("launch.json")["configurations"]}
    assert next(iter(configurations)) == "train (debug)"  # what F5 starts in a new window
    assert {each["type"] for each in configurations.values()} == {"debugpy"}  # "python" is the old name
    first = configurations["train (debug)"]
    assert first["program"] == "${workspaceFolder}/src/train.py"
    assert first["args"] == ["debug=True", "experiment_name=__debug__"]
    assert configurations["attach (5678)"]["connect"] == {"host": "127.0.0.1", "port": 5678}
    for each in configurations.values():
        program = each.get("program", "").replace("${workspaceFolder}", str(ROOT))
        assert "$" in program or not program or Path(program).is_file()


def test_every_script_has_a_task() -> None:
    commands = {
        Path(task["command"].replace("${workspaceFolder}", str(ROOT)))
        for task in editor_file("tasks.json")["tasks"]
    }
    scripts = set((ROOT / "docker").glob("*.sh")) - {
        ROOT / "docker/common.sh",
        ROOT / "docker/devcontainer.sh",
    }
    assert commands == scripts
    assert all(os.access(path, os.X_OK) for path in commands)


def test_extensions_are_the_same_on_both_ways_in() -> None:
    recommended = set(editor_file("extensions.json")["recommendations"])
    assert recommended - ON_THE_HOST == set(image_metadata()["customizations"]["vscode"]["extensions"])


def test_the_container_keeps_its_interpreter() -> None:
    # A workspace's setting would win over the image's, and name a path that one of the two does not have.
    assert "python.defaultInterpreterPath" not in editor_file("settings.json")
    settings = image_metadata()["customizations"]["vscode"]["settings"]
    assert settings["python.defaultInterpreterPath"] == "/opt/venv/bin/python"


def test_the_image_forwards_what_run_publishes() -> None:
    published = re.findall(r"_PORT:(\d+)", (ROOT / "docker/run.sh").read_text())
    assert [str(port) for port in image_metadata()["forwardPorts"]] == published


def test_devcontainer_uses_the_same_dockerfile() -> None:
    folder = ROOT / ".devcontainer"
    devcontainer = json.loads((folder / "devcontainer.json").read_text())
    assert (folder / devcontainer["build"]["dockerfile"]).resolve() == ROOT / "docker/Dockerfile"
    assert (folder / devcontainer["build"]["context"]).resolve() == ROOT
    assert (ROOT / devcontainer["initializeCommand"]).is_file()
    assert devcontainer["workspaceFolder"] == "/workspace"
