"""ONNX files get their name once they answer as torch does; opt-in (make test-registry): the export."""

import os
from pathlib import Path

import numpy as np
import pytest
from stand_in_models import write_detector

from workbench.common.errors import ConfigError, UserError
from workbench.models import onnx
from workbench.portable.model import Model, load_model


@pytest.mark.skipif("PATCHSETS_TEST_REGISTRY" not in os.environ, reason="opt-in: make test-registry")
def test_a_detector_answers_alike(tmp_path: Path) -> None:
    model = write_detector(tmp_path)
    assert onnx.export_onnx(model, tmp_path / "model.onnx") <= onnx.TOLERANCE
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "model.onnx"]
    ours, theirs = load_model(model), load_model(tmp_path / "model.onnx")
    assert theirs.description == ours.description
    images = np.random.default_rng(0).integers(0, 256, (7, 16, 16, 3), dtype=np.uint8)
    expected, found = ours(images), theirs(images)
    np.testing.assert_allclose(found["map"], expected["map"], atol=1e-6)
    np.testing.assert_array_equal(found["is_anomaly"], expected["is_anomaly"])


@pytest.mark.parametrize(
    ("scale", "error", "passes"),
    [
        (100.0, 1e-4, True),
        (100.0, 1e-2, False),
        (0.01, 1e-6, False),
        (1.0, float("nan"), False),
        (0.0, 0.0, True),
    ],
)
def test_a_score_may_differ_by_a_share_of_its_size(scale: float, error: float, passes: bool) -> None:
    description = {"kind": "anomaly", "preprocessing": {"size": 4}, "threshold": 0.0}

    def scored(score: float) -> Model:
        return Model(lambda images: {"score": np.array([scale, score]), "p_value": np.ones(2)}, description)

    difference = onnx.largest_difference(scored(scale), scored(scale + error))
    assert (difference <= onnx.TOLERANCE) == passes


def test_a_file_that_answers_otherwise_never_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_detector(tmp_path)
    other = load_model(model)
    monkeypatch.setattr(other, "_run", lambda images: {"score": np.full(len(images), 0.5), "p_value": 0.1})
    monkeypatch.setattr(onnx, "_write", lambda source, target, model: target.write_bytes(b"onnx"))
    models = iter([load_model(model), other])
    monkeypatch.setattr(onnx, "load_model", lambda path: next(models))
    target = tmp_path / "model.onnx"
    target.write_bytes(b"earlier")
    with pytest.raises(UserError, match=r"differ from torch's by .*model.onnx is not written"):
        onnx.export_onnx(model, target)
    assert target.read_bytes() == b"earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "model.onnx"]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"output": None}, "write run=<run folder>"),
        ({"output": "model.pt2"}, "does not end in .onnx"),
        ({"output": "nowhere/model.onnx"}, "there is no folder nowhere"),
        ({"run": "nowhere"}, "run: nowhere is not a run folder"),
    ],
)
def test_a_wrong_word_is_named(wrong: dict[str, str], says: str) -> None:
    from workbench.models.onnx import Words, export

    with pytest.raises(ConfigError, match=says):
        export(Words(**{"run": "somewhere", "output": "model.onnx", **wrong}))
