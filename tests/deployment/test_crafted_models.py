"""A model.pt2 that was made to run code runs none, and is refused in one line, wherever it is loaded."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from crafted import ATTACKS, craft, expression, in_json, pickled_examples
from torch import Tensor, nn

from workbench.common.errors import ConfigError, UserError
from workbench.models.find import find_model
from workbench.models.onnx import export_onnx
from workbench.portable.archive import Refused, check_expression, load_program
from workbench.portable.model import load_model
from workbench.tracking.mlflow_model import save_as_mlflow
from workbench.train.export import write_model

ONE = np.zeros((1, 8, 8, 3), np.uint8)


@pytest.mark.parametrize(("change", "says"), ATTACKS.items())
def test_what_could_run_code_is_named_and_runs_none(
    change: Callable[..., None], says: str | None, run_folder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.syspath_prepend(tmp_path)
    marker = tmp_path / "it_ran"
    crafted = craft(run_folder / "model/model.pt2", tmp_path / "crafted.pt2", change, marker)
    if says is None:
        expected = load_model(run_folder / "model")(ONE)["probability"]
        np.testing.assert_array_equal(load_model(crafted)(ONE)["probability"], expected)
    else:
        with pytest.raises(ValueError, match=r"crafted\.pt2 is not loaded: ") as refused:
            load_model(crafted)(ONE)
        assert says in str(refused.value) and "\n" not in str(refused.value)
    assert not marker.exists()


def test_the_attacks_are_real(run_folder: Path, tmp_path: Path) -> None:
    marker = tmp_path / "it_ran"
    for change in (pickled_examples, in_json(expression)):
        crafted = craft(run_folder / "model/model.pt2", tmp_path / "crafted.pt2", change, marker)
        torch.export.load(crafted)
        assert marker.exists()
        marker.unlink()


@pytest.mark.filterwarnings("ignore")  # MLflow's own dependencies warn as they like
def test_every_way_to_a_model_refuses_it(run_folder: Path, tmp_path: Path) -> None:
    from mlflow.pyfunc import load_model as load_from_mlflow

    marker = tmp_path / "it_ran"
    save_as_mlflow(run_folder / "model", tmp_path / "logged", "run", "model")
    (logged,) = (tmp_path / "logged").rglob("model.pt2")
    (tmp_path / "model").mkdir()
    crafted = craft(logged, tmp_path / "model/model.pt2", in_json(expression), marker)
    with pytest.raises(UserError, match=r"model: .* is not loaded: .* does more than count"):
        find_model(str(crafted))
    with pytest.raises(ValueError, match="is not loaded"):
        export_onnx(tmp_path / "model", tmp_path / "x.onnx")
    with pytest.raises(ConfigError, match="is not loaded"):
        save_as_mlflow(tmp_path / "model", tmp_path / "again", "run", "model")
    crafted.replace(logged)
    with pytest.raises(ValueError, match="is not loaded"):
        load_from_mlflow(str(tmp_path / "logged"))
    assert not marker.exists()


@pytest.mark.parametrize(
    "text",
    [
        "(lambda: 1)()", "[x for x in (1,)]", "Symbol.__class__", "L['x'].data", "L['x'].size().__class__",
        "L['x'].size(key=print)", "Symbol('s')(1)", "f'{1}'", "eval('1')", "oo.func", "(a := 1)", "1; 2",
        "Symbol('a b')", "L[Symbol('x')]", "await x", "*x", "(" * 9999, "\0",
    ],
)  # fmt: skip
def test_an_expression_that_does_more_than_count_is_refused(text: str) -> None:
    for of_inputs in (True, False):
        with pytest.raises(Refused):
            check_expression(text, of_inputs)


class Unusual(nn.Module):
    """Calls of what the presets do not: a graph in a graph, infinities, texts, half precision."""

    def __init__(self) -> None:
        super().__init__()
        self.metadata = nn.Parameter(torch.ones(3, dtype=torch.float16))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        values = images.float()
        with torch.no_grad():
            halves = values[:, : values.shape[1] // 2] * self.metadata
        masked = halves.masked_fill(halves > 250, -torch.inf)
        return {"map": torch.einsum("bijc->bji", masked.clamp(max=torch.inf)).softmax(dim=1)}


def test_unusual_honest_models_are_as_before(tmp_path: Path) -> None:
    write_model(Unusual(), {"kind": "x", "preprocessing": {"smallest": 4}}, tmp_path)
    images = torch.randint(0, 256, (3, 20, 12, 3), dtype=torch.uint8)
    program, _ = load_program(tmp_path / "model/model.pt2")
    torch.testing.assert_close(program.module()(images), Unusual()(images), equal_nan=True)


def test_a_model_that_could_not_be_loaded_is_not_written(tmp_path: Path) -> None:
    @torch.library.custom_op("patchsets_test::own", mutates_args=())
    def own(values: Tensor) -> Tensor:
        return values.clone()

    own.register_fake(lambda values: torch.empty_like(values))

    class Own(nn.Module):
        def forward(self, images: Tensor) -> dict[str, Tensor]:
            return {"map": own(images)}

    with pytest.raises(ValueError, match=r"it calls 'torch.ops.patchsets_test.own.default', which is none"):
        write_model(Own(), {"kind": "x", "preprocessing": {"size": 8}}, tmp_path)
    assert not (tmp_path / "model").exists()
