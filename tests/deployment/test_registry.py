"""The registry: a run becomes a version once, loads anywhere without a pickle, comes back as a network."""

import base64
import io
import json
import subprocess
import sys
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from stand_in_models import write_detector

from workbench.common.errors import ConfigError
from workbench.models.find import find_model
from workbench.models.load import load_model
from workbench.models.register import Words, register
from workbench.portable.model import Model
from workbench.portable.model import load_model as load_deployed
from workbench.portable.pixels import as_rgb
from workbench.portable.served import Served
from workbench.tracking.mlflow_model import save_as_mlflow

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own dependencies warn as they like

# Loads a logged model where this workspace cannot be imported, and answers one image.
ELSEWHERE = """
import json, sys
sys.modules["patchsets"] = None
from mlflow.pyfunc import load_model
from pandas import DataFrame
model = load_model(sys.argv[1])
frame = DataFrame({"image": [sys.stdin.read()]})
print(json.dumps([model.predict(frame).to_dict("records")[0],
                  model.predict(frame, params={"threshold": 0.9}).to_dict("records")[0]]))
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlruns") / "mlflow.db"


@pytest.fixture
def registry(store: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    uri = f"sqlite:///{store}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri


def test_a_run_is_registered_once_and_found_by_its_alias(
    run_folder: Path, registry: str, test_digits: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    words = Words(str(run_folder), "kinoko", "champion")
    for _ in range(2):
        assert register(words) == 0
        assert "models:/kinoko/1, models:/kinoko@champion" in capsys.readouterr().out
    (version,) = MlflowClient(registry).search_model_versions("name='kinoko'")
    files = list(Path(MlflowClient(registry).get_run(version.run_id).info.artifact_uri).rglob("*"))
    assert not [path for path in files if path.suffix in (".pkl", ".pickle")]
    assert len([path for path in files if path.name == "model.pt2"]) == 1

    found = find_model("models:/kinoko@champion")
    assert found.version == "kinoko version 1" == find_model("models:/kinoko/1").version
    images = np.stack([as_rgb(digit) for digit in test_digits])
    expected = load_deployed(run_folder / "model")(images)["probability"]
    np.testing.assert_array_equal(found.model(images)["probability"], expected)

    described = load_deployed(run_folder / "model").description
    (run_folder / "model/model.json").write_text(json.dumps(described))
    with pytest.raises(ConfigError, match=r"models:/kinoko@nobody is not in the registry"):
        find_model("models:/kinoko@nobody")


def test_the_network_of_a_run_comes_back_from_mlflow_too(run_folder: Path, registry: str) -> None:
    register(Words(str(run_folder), "kinoko"))
    kept = load_model(run_folder).network.state_dict()
    outputs = (run_folder.parents[1], run_folder / "nothing")
    for run, place in product((run_folder.name, run_folder.name[-4:]), outputs):
        task = load_model(run, "digits", outputs=place)
        assert not task.training
        assert all(torch.equal(value, kept[name]) for name, value in task.network.state_dict().items())
    with pytest.raises(ConfigError, match=r"there is no run of_nobody of digits"):
        load_model("of_nobody", "digits", outputs=run_folder.parents[1])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"run": "nowhere"}, "run: nowhere is not a run folder"),
        ({"name": None}, "name: missing"),
        ({"name": "a/b"}, "name: 'a/b' stands in"),
        ({"alias": "v3"}, "alias: 'v3' cannot be one"),
    ],
)
def test_a_wrong_word_is_named(wrong: dict[str, str], says: str, run_folder: Path) -> None:
    with pytest.raises(ConfigError, match=says):
        register(Words(**{"run": str(run_folder), "name": "kinoko", "alias": "champion", **wrong}))


def base64_of(width: int, height: int) -> str:
    file = io.BytesIO()
    Image.new("1", (width, height)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


NO_IMAGE = "image 0: it is no image, or none of PNG, JPEG"
EPS = base64.b64encode(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n").decode()
MALFORMED = [
    *((["no base64"], "image 0: it is not base64"), (["日本"], "image 0: it is not base64")),
    *(([None], "image 0: it is not base64"), ([3], "image 0: it is not base64")),
    *((["QUJD"], NO_IMAGE), ([""], NO_IMAGE), ([EPS], NO_IMAGE)),
    (
        [base64_of(9, 9), base64_of(6000, 5000)],
        "image 1: 6000x5000 pixels are more than 25 million; PATCHSETS_",
    ),
    ([base64_of(4900, 4900)] * 5, "they have 120 million pixels together, more than 100: send fewer at once"),
    ([base64_of(9, 9)], "image 0: the model takes no images of 9x9 pixels"),
]


@pytest.mark.parametrize(("asked", "wrong"), MALFORMED)
def test_a_server_answers_what_it_cannot_judge_in_one_line(asked: list[Any], wrong: str) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.pyfunc.scoring_server import invocations
    from mlflow.types import ColSpec, Schema

    served: Any = Served(Model(lambda images: {}, {"kind": "anomaly", "preprocessing": {}}))
    served.metadata = SimpleNamespace(get_params_schema=lambda: None)  # of MLflow's wrapper
    question = json.dumps({"dataframe_records": [{"image": text} for text in asked]})
    with pytest.raises(MlflowException) as answered:
        invocations(question, "application/json", served, Schema([ColSpec("string", "image")]))
    assert answered.value.get_http_status_code() == 400
    assert wrong in answered.value.message
    assert "Traceback" not in answered.value.serialize_as_json()


def test_a_logged_model_answers_where_this_workspace_is_not(tmp_path: Path, images: Path) -> None:
    model = write_detector(tmp_path)
    save_as_mlflow(model, tmp_path / "logged", "run", "model")
    text = base64.b64encode((images / "half 0/00.png").read_bytes()).decode()
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(tmp_path / "logged")],
        cwd=tmp_path, input=text, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ours, at_09 = json.loads(done.stdout)
    assert (ours["threshold"], ours["is_anomaly"]) == (0.3, True)
    assert (at_09["threshold"], at_09["is_anomaly"]) == (0.9, False)
    assert ours["score"] == at_09["score"]
