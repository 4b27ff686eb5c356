"""The model a run leaves answers as the run did, whole or not at all, and never spoils the run."""

import json
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from in_process import start
from torch import nn

from patchsets.data.folder import Folder
from patchsets.data.image_sets import labelled
from patchsets.data.patches import Edge
from patchsets.model.deep_sets import DeepSets
from patchsets.model.patch_cnn import PatchCnn
from patchsets.model.set_transformer import SetTransformer
from patchsets.task.deployed_classifier import Classifier, _preparation, grey
from workbench.common.errors import UserError
from workbench.models.load import with_model
from workbench.portable.model import load_model
from workbench.portable.pixels import as_rgb
from workbench.train import export


def test_the_model_answers_as_its_run_did(run_folder: Path, test_digits: np.ndarray) -> None:
    model = load_model(run_folder / "model")
    answered = model(np.stack([as_rgb(digit) for digit in test_digits]))["probability"]
    said = np.loadtxt(run_folder / "predictions.csv", delimiter=",", skiprows=1, max_rows=len(test_digits))
    np.testing.assert_allclose(answered, said[:, 3:], atol=1e-5)


def test_the_description_says_what_is_inside(run_folder: Path) -> None:
    described = json.loads((run_folder / "model/model.json").read_text())
    assert described == load_model(run_folder / "model/model.pt2").description
    assert described["classes"] == [str(digit) for digit in range(10)]
    assert described["preprocessing"] == {"size": [8, 8], "fit": "stretch"}
    assert described["data"] == json.loads((run_folder / "data.json").read_text())
    assert described["run"] == run_folder.name


@pytest.mark.parametrize("edge", ["drop", "pad", "shift"])
@pytest.mark.parametrize(("takes", "channels"), [("vectors", 1), ("reduced", 3), ("patches", 3)])
def test_patches_of_any_number_and_size_of_images(
    takes: str, channels: int, edge: Edge, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    data = Folder(1, 0, None, patch_size=4, stride=3, edge=edge)
    cutter, data.as_patches = data.cutter, takes == "patches"
    assert cutter is not None
    features = cutter.num_features(channels)
    network = {
        "vectors": lambda: SetTransformer(features, 3, width=8, depth=1, heads=2),
        "reduced": lambda: DeepSets(features, 3, width=8, depth=1, pool=["max", "std"]),
        "patches": lambda: PatchCnn((channels, 4, 4), 3, width=4, depth=2, place_features=2),
    }[takes]().eval()
    description = {"kind": "classification", "preprocessing": {"size": None, "smallest": cutter.smallest}}
    module = Classifier(network, channels, [], _preparation(data), cutter=cutter)
    model = load_model(export.write_model(module, description, tmp_path))
    random = np.random.default_rng(0)
    for number, height, width in [(1, 9, 9), (5, 12, 30), (2, 4, 5), (1, 4, 4)]:
        images = random.integers(0, 256, (number, height, width, 3), dtype=np.uint8)
        known = grey(torch.from_numpy(images)).numpy() if channels == 1 else images
        batch = data.make_batch(labelled(list(known), np.zeros(number)), training=False)
        with torch.no_grad():
            expected = network(batch.input).softmax(dim=1).numpy()
            looks = hasattr(network, "attention")
            weight_T = network.attention(batch.input).numpy() if looks else np.zeros(0)
        found = model(images)
        np.testing.assert_allclose(found["probability"], expected, atol=1e-6)
        assert ("attention" in found) == looks
        if looks:
            np.testing.assert_allclose(found["attention"].ravel(), weight_T, atol=1e-6)
            np.testing.assert_array_equal(np.tile(found["position"], (number, 1)), batch.positions)


def test_grey_is_pillows(tmp_path: Path) -> None:
    from PIL import Image

    colours = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(colours[0]).convert("L"))
    np.testing.assert_array_equal(grey(torch.from_numpy(colours))[0, :, :, 0].numpy(), expected)


def test_a_module_comes_back_as_it_was(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(3)).train()
    module[0].eval()
    with export._for_use(module):
        assert not any(part.training for part in module.modules())
    assert [part.training for part in module.modules()] == [True, False, True]


def test_a_model_that_cannot_be_exported_is_an_error_in_the_closing_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["model=deep_sets", "hparams.max_epochs=1", "hparams.width=16", "hparams.depth=1", "loggers=[]"]
    start(*small, "+data.min_contrast=0.1", f"outputs={tmp_path}", "experiment_name=x")
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "model/" in line]
    assert line.split(maxsplit=1)[0] == "error"
    assert "model/ is not written: data.min_contrast leaves out patches" in line
    (folder,) = (tmp_path / "x").glob("2*")
    assert not list(folder.glob("*model*"))
    assert "Traceback" in (folder / "train.log").read_text()
    with pytest.raises(UserError, match=r"model/ is not written: data\.min_contrast"):
        with_model(folder)


def test_the_workspace_need_not_be_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = metadata.distribution

    def not_ours(name: str) -> metadata.Distribution:  # as in the container, where src/ is on the path
        if name == "patchsets":
            raise metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(metadata, "distribution", not_ours)
    module = Classifier(nn.Flatten(), 3, [], lambda images: images.float() / 255)
    export.write_model(module, {"kind": "classification", "preprocessing": {"size": 4}}, tmp_path)
    versions = load_model(tmp_path / "model").description["versions"]
    assert versions["patchsets"] == known("patchsets").version


def test_an_export_that_is_cut_off_leaves_the_earlier_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = Classifier(nn.Flatten(), 3, [], lambda images: images.float() / 255)
    description = {"kind": "classification", "preprocessing": {"size": 4}}
    earlier = export.write_model(module, description, tmp_path) / "model.pt2"
    content = earlier.read_bytes()

    def cut_off(program: object, path: Path, **rest: object) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(torch.export, "save", cut_off)
        export.write_model(module, description, tmp_path)
    assert earlier.read_bytes() == content
    export.write_model(module, description, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
