"""The notebooks are kept without outputs; opt-in (make test-registry): they run from first cell to last."""

import json
import os
from contextlib import chdir
from pathlib import Path

import nbformat
import pytest
from in_process import start
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient
from whole_command import ROOT, the_run

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
opt_in = pytest.mark.skipif("PATCHSETS_TEST_REGISTRY" not in os.environ, reason="opt-in: make test-registry")
FEW = ["+data.train=16", "+data.val=10", "+data.per_kind=2"]
SMALL = ["hparams.max_epochs=1", "loggers=[]"]


def execute(name: str, parameters: str, folder: Path) -> str:
    """Run a notebook with its parameters replaced, and return all it printed and showed as text."""
    notebook = nbformat.read(ROOT / "notebooks" / name, as_version=4)
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    cell.source = parameters
    kernel = AsyncKernelManager(kernel_name="python3", transport="ipc")  # a port might be taken meanwhile
    place = {"metadata": {"path": str(folder)}}
    with chdir(folder):  # where the kernel is, too: its sockets have names relative to that
        NotebookClient(notebook, timeout=300, km=kernel, resources=place).execute(cleanup_kc=True)
    return json.dumps([cell.get("outputs") for cell in notebook.cells])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path: Path) -> None:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert cells and not any(cell.outputs or cell.execution_count for cell in cells)


@opt_in
@pytest.mark.filterwarnings("ignore")  # of the kernel
def test_a_classifier_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    start("model=deep_sets", "hparams.width=16", *SMALL, f"outputs={tmp_path}")
    shown = execute(
        "load_model.ipynb", f"run, experiment_name = {str(the_run(tmp_path, 'patch_sets'))!r}, None", tmp_path
    )
    assert "DeepSets" in shown and "'probability': " in shown


@opt_in
@pytest.mark.parametrize(("task", "layer"), [("gan", "generator"), ("patch_memory", "memory")])
@pytest.mark.filterwarnings("ignore")
def test_a_detector_is_loaded(task: str, layer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    start(f"task={task}", *FEW, *SMALL, f"outputs={tmp_path}", "experiment_name=detector")
    shown = execute(
        "load_model.ipynb", f"run, experiment_name = {str(the_run(tmp_path, 'detector'))!r}, None", tmp_path
    )
    assert "'score': " in shown and f"'{layer}': (" in shown


@opt_in
@pytest.mark.filterwarnings("ignore")
def test_an_anomaly_detector_is_evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    start("task=autoencoder", *FEW, *SMALL, f"outputs={tmp_path}")
    run = the_run(tmp_path, "Autoencoder_Anomaly_Detection")
    shown = execute("evaluate_anomaly_detection.ipynb", f"run = other = {str(run)!r}", tmp_path)
    assert "accuracy" in shown and shown.count("image/png") == 4
