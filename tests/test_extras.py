"""A package of an extra that is not installed is named in one line, before anything is written."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from workbench.common.errors import ConfigError
from workbench.models.find import find_model
from workbench.models.onnx import export_onnx
from workbench.tracking.neptune import NeptuneTracker


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names in this set are not found, as where their extra was not installed."""
    missing: set[str] = set()
    find_spec = importlib.util.find_spec

    def find(name: str, package: str | None = None) -> Any:
        return None if name in missing else find_spec(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    return missing


def test_neptune(without: set[str]) -> None:
    NeptuneTracker()
    without.add("neptune")
    with pytest.raises(ConfigError, match=r"loggers\.neptune: neptune is not installed.*\[neptune\]"):
        NeptuneTracker()


def test_onnx(without: set[str], tmp_path: Path) -> None:
    without |= {"onnxscript", "onnxruntime"}
    with pytest.raises(ConfigError, match=r"output=x\.onnx: onnxscript is not installed.*\[onnx\]"):
        export_onnx(tmp_path, tmp_path / "x.onnx")
    (tmp_path / "x.onnx").touch()
    with pytest.raises(ConfigError, match=r"x\.onnx: onnxruntime is not installed"):
        find_model(str(tmp_path / "x.onnx"))
