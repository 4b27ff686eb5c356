"""evaluate.py: a trained network judges other data as it judged its own, or says why it cannot."""

import csv
import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from in_process import make_anomaly_folder, make_feature_bags, make_folder, start
from PIL import Image
from whole_command import TINY

from workbench.common.errors import ConfigError
from workbench.models.evaluate import evaluate
from workbench.run.summary import read_summary

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")  # Lightning's
SMALL = ["hparams.max_epochs=1", "hparams.width=8", "save_model=false", "loggers=[]"]


def trained(outputs: Path, *words: str) -> Path:
    start(*SMALL, f"outputs={outputs}", *words)
    (folder,) = outputs.glob("*/2*")
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run on a folder of grey images, and this folder."""
    root = make_folder(tmp_path_factory.mktemp("images") / "own")
    words = ["data=folder", "model=deep_sets", f"data.root={root}", "data.patch_size=8", "data.stride=8"]
    return trained(tmp_path_factory.mktemp("outputs"), *words, "data.test_fraction=0.3"), root


def read(folder: Path) -> dict[str, dict[str, str]]:
    """Return the lines of the predictions by file."""
    with (folder / "predictions.csv").open(encoding="utf-8") as file:
        return {line["file"]: line for line in csv.DictReader(file)}


def probabilities(lines: dict[str, dict[str, str]]) -> dict[str, float]:
    return {file: float(line["probability of light"]) for file, line in lines.items()}


def test_a_copy_of_its_own_images_is_judged_alike(images: tuple[Path, Path], tmp_path: Path) -> None:
    run, root = images
    shutil.copytree(root, tmp_path / "copy")
    assert evaluate([f"run={run}", f"data.root={tmp_path / 'copy'}", f"output={tmp_path / 'new'}"]) == 0
    lines, own = read(tmp_path / "new"), read(run)
    assert len(lines) == 16 > len(own)
    found = probabilities(lines)
    assert {file: found[file] for file in own} == pytest.approx(probabilities(own), abs=1e-5)
    note = json.loads((tmp_path / "new/evaluation.json").read_text())
    assert note["run"] == run.name and note["words"] == {"data.root": str(tmp_path / "copy")}
    right = [line["label"] == line["predicted"] for line in lines.values()]
    assert note["metrics"]["test/accuracy"] == pytest.approx(np.mean(right))
    assert (tmp_path / "new/figures/confusion_matrix.png").is_file()


def test_without_a_word_for_the_data_it_is_the_test_split_again(
    images: tuple[Path, Path], tmp_path: Path
) -> None:
    run, _ = images
    evaluate([f"run={run}", f"output={tmp_path / 'new'}"])
    again = json.loads((tmp_path / "new/evaluation.json").read_text())["metrics"]
    tested = {name: value for name, value in read_summary(run)["metrics"].items() if name in again}
    assert again == pytest.approx(tested, abs=1e-5) and read(tmp_path / "new").keys() == read(run).keys()


def test_images_that_do_not_fit_are_refused_and_nothing_is_left(
    images: tuple[Path, Path], tmp_path: Path
) -> None:
    run, root = images
    shutil.copytree(root, tmp_path / "coloured")
    Image.fromarray(np.full((24, 24, 3), (9, 200, 9), np.uint8)).save(tmp_path / "coloured/dark/green.png")
    shutil.copytree(root, tmp_path / "strange")
    (tmp_path / "strange/light").rename(tmp_path / "strange/medium")
    before = sorted(tmp_path.rglob("*"))
    new = f"output={tmp_path / 'new'}"
    for words, line in {
        (f"data.root={tmp_path / 'coloured'}", new): "knows grey images only",
        (f"data.root={tmp_path / 'strange'}", new): "does not know medium; its classes are dark, light",
        ("data.patch_size=4", new): "takes in_features 66, and these data give 18",
        ("data.patchsize=4", new): "patchsize",
        (f"data.root={tmp_path / 'nowhere'}", new): "there is no folder",
        (f"output={tmp_path}",): "is there already",
        ("hparams.width=3",): "there is no such key",
    }.items():
        with pytest.raises(ConfigError, match=line):
            evaluate([f"run={run}", *words])
    assert sorted(tmp_path.rglob("*")) == before


def test_grey_images_are_fit_for_a_network_of_coloured_ones(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "own")
    for path in root.rglob("*.png"):
        with Image.open(path) as image:
            image.convert("RGB").point(lambda value: value // 2 + 9).save(path)
    Image.fromarray(np.full((24, 24, 3), (9, 200, 9), np.uint8)).save(root / "dark/green.png")
    run = trained(tmp_path / "outputs", "data=folder", "model=deep_sets", f"data.root={root}")
    grey = make_folder(tmp_path / "grey")
    assert evaluate([f"run={run}", f"data.root={grey}", f"output={tmp_path / 'new'}"]) == 0
    assert len(read(tmp_path / "new")) == 16


def test_bags_of_features_with_fewer_classes_and_another_width(tmp_path: Path) -> None:
    root = make_feature_bags(tmp_path / "own")
    run = trained(tmp_path / "outputs", "data=features", "model=attention_pool", f"data.root={root}")
    other = shutil.copytree(root, tmp_path / "other")
    lines = (other / "bags.csv").read_text().splitlines()
    (other / "bags.csv").write_text("\n".join(line for line in lines if not line.endswith(",a")))
    assert evaluate([f"run={run}", f"data.root={other}", f"output={tmp_path / 'new'}"]) == 0
    assert [line["label"] for line in read(tmp_path / "new").values()] == ["b"] * 8
    with h5py.File(tmp_path / "new/attention.h5") as file:
        assert sorted(file["file"].asstr()[:]) == sorted(path.name for path in other.glob("*[13579].npy"))
        assert file["begin"][-1] == len(file["weights"]) == len(file["scores"])
    for path in other.glob("*.npy"):
        np.save(path, np.zeros((3, 7), np.float32))
    with pytest.raises(ConfigError, match="takes in_features 5, and these data give 7"):
        evaluate([f"run={run}", f"data.root={other}", f"output={tmp_path / 'newer'}"])


def test_a_detector_keeps_its_threshold(tmp_path: Path) -> None:
    root = make_anomaly_folder(tmp_path / "own")
    words = ["task=autoencoder", "data=anomaly", f"data.root={root}", "hparams.image_size=16"]
    start(*SMALL[2:], "hparams.max_epochs=1", f"outputs={tmp_path / 'outputs'}", *words)
    (run,) = (tmp_path / "outputs").glob("*/2*")
    other = shutil.copytree(root, tmp_path / "other")
    for path in (other / "train/good").iterdir():
        Image.fromarray(np.full((20, 24), 7, np.uint8)).save(path)  # no threshold is learned from these
    (other / "train/good/000.png").write_bytes((root / "train/good/000.png").read_bytes())
    assert evaluate([f"run={run}", f"data.root={other}", f"output={tmp_path / 'new'}"]) == 0
    own, new = ({line["file"]: line for line in _lines(folder)} for folder in (run, tmp_path / "new"))
    assert own.keys() == new.keys()
    for file, line in own.items():
        assert new[file]["threshold"] == line["threshold"] and new[file]["decision"] == line["decision"]


def _lines(folder: Path) -> list[dict[str, str]]:
    with (folder / "predictions.csv").open(encoding="utf-8") as file:
        return [line for line in csv.DictReader(file) if line["split"] == "test"]


def test_data_that_are_made_are_judged_by_their_test_split(tmp_path: Path) -> None:
    start(*TINY, f"outputs={tmp_path / 'outputs'}", "+data.test_sets=100")
    (run,) = (tmp_path / "outputs").glob("*/2*")
    evaluate([f"run={run}", "data.test_sets=50", f"output={tmp_path / 'new'}"])
    assert json.loads((tmp_path / "new/evaluation.json").read_text())["judged"] == "the test split"
    assert len((tmp_path / "new/predictions.csv").read_text().splitlines()) == 51
