"""A run folder that anybody may have made: nothing of it runs here but what it may name, whatever way."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from whole_command import ROOT

from workbench.common.errors import ConfigError, UserError
from workbench.config.signatures import locate
from workbench.models import onnx, register
from workbench.models.find import find_model
from workbench.models.load import load_model
from workbench.tracking.sync import sync

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own dependencies warn as they like

SHELL = {"_target_": "torch.utils.collect_env.run"}  # takes a command
Config = dict[str, Any]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a run without a model/, and its command to make a file."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow/mlflow.db")
    kept = ROOT / "tests" / "runs_of_e4f38a4" / "sets"
    return shutil.copytree(kept, tmp_path / "runs" / "theirs")


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "it_ran"


def change(folder: Path, changed: Callable[[Config], object]) -> None:
    config: Any = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"), resolve=False)
    changed(config)
    OmegaConf.save(OmegaConf.create(config), folder / "config.yaml")


def say(config: Config, group: str, **node: object) -> None:
    config[group] = node


def from_file(config: Config, marker: Path) -> None:
    checkpoint = {"checkpoint_path": f"{marker.parent}/evil.ckpt", "weights_only": False}
    target = "patchsets.task.classification.Classification.load_from_checkpoint"
    say(config, "task", _target_=target, **checkpoint)


ATTACKS: dict[str, tuple[Callable[[Config, Path], object], str]] = {
    "a shell": (lambda c, m: say(c, "data", **SHELL, command=f"touch {m}"), "is no SetData"),
    "a shell within": (
        lambda c, m: c["data"].update(augment=SHELL | {"command": f"touch {m}"}),
        "data.augment._target_: torch.utils.collect_env.run is no module, and no function of tensors",
    ),
    "a shell that is called later": (
        lambda c, m: say(c, "model", **SHELL, _partial_=True, command=f"touch {m}"),
        "model._target_: torch.utils.collect_env.run is no Module",
    ),
    "what the folder trusts": (
        lambda c, m: (
            c.update(trusted_targets=["os.", "subprocess."]),
            say(c, "data", _target_="os.system", command=f"touch {m}"),
        ),
        "the run folder's own are not believed",
    ),
    "through a module of ours": (
        lambda c, m: say(c, "data", _target_="workbench.run.provenance.os.system", command=f"touch {m}"),
        "is no SetData",
    ),
    "through a module of torch": (
        lambda c, m: c["model"].update(
            pool={"_target_": "torch.nn.functional.importlib.import_module", "name": "it_is_imported"}
        ),
        "is no module, and no function of tensors",
    ),
    "a repository": (
        lambda c, m: say(c, "model", _target_="torch.hub.load", repo_or_dir=str(m.parent), model="it"),
        "is no Module",
    ),
    "a pickle": (from_file, "is no RunTask"),
    "a writer of files": (
        lambda c, m: c["task"].update(
            loss={"_target_": "workbench.common.files.write_json", "path": str(m), "content": {}}
        ),
        "is no module, and no function of tensors",
    ),
    "a key that is not there": (lambda c, m: c["data"].update(seed="${nothing}"), "data: Interpolation key"),
    "keys that read each other": (
        lambda c, m: c["data"].update(seed="${data.stride}", stride="${data.seed}"),
        "data: ",
    ),
    "no target": (lambda c, m: say(c, "data", command=f"touch {m}"), "data: names no _target_"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_what_is_no_task_no_data_and_no_network_is_not_called(name: str, folder: Path, marker: Path) -> None:
    attack, says = ATTACKS[name]
    change(folder, lambda config: attack(config, marker))
    with pytest.raises(ConfigError) as refused:
        load_model(folder)
    assert says in str(refused.value) and "\n" not in str(refused.value)
    assert not marker.exists()


WAYS: dict[str, Callable[[Path], object]] = {
    "inference": lambda folder: find_model(str(folder)),
    "export": lambda folder: onnx.export(onnx.Words(str(folder), f"{folder.parent}/x.onnx")),
    "register": lambda folder: register.register(register.Words(str(folder), "theirs")),
}


@pytest.mark.parametrize("way", WAYS)
def test_nor_by_any_command(way: str, folder: Path, marker: Path) -> None:
    change(folder, lambda config: say(config, "data", **SHELL, command=f"touch {marker}"))
    with pytest.raises(ConfigError, match="is no SetData"):
        WAYS[way](folder)
    assert not marker.exists()
    assert not (folder / "model").exists()


def test_a_tracker_is_looked_at_before_it_is_made(
    folder: Path, marker: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loggers = {"theirs": SHELL | {"command": f"touch {marker}"}}
    change(folder, lambda config: say(config, "loggers", **loggers))
    assert not sync([str(folder)])
    assert "loggers.theirs._target_: torch.utils.collect_env.run is no Tracker" in capsys.readouterr().err
    assert not marker.exists()
    assert sync([str(folder), "loggers=csv"])  # of this workspace


def test_a_module_is_imported_only_under_a_prefix_and_never_from_where_one_is(
    folder: Path, tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "it_is_imported.py").write_text(f"open({str(marker)!r}, 'w')\nclass Its: ...\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    with pytest.raises(ImportError, match="no module named it_is_imported"):
        locate("it_is_imported.Its")
    assert sys.path[0] == ""
    monkeypatch.syspath_prepend(tmp_path)
    change(folder, lambda config: config["task"].update(_target_="it_is_imported.Its"))
    with pytest.raises(ConfigError, match="the run folder's own are not believed"):
        load_model(folder)
    assert not marker.exists()
    with pytest.raises(ConfigError, match=r"task\._target_: it_is_imported\.Other cannot be imported"):
        change(folder, lambda config: config["task"].update(_target_="it_is_imported.Other"))
        load_model(folder, trusted_targets=["it_is_imported."])
    assert marker.exists()


def test_what_this_machine_holds_is_neither_written_nor_sent(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATASET", "kept-to-myself")
    monkeypatch.setenv("OTHER", "kept-to-myself")

    def spy(config: Config) -> None:
        kind = {"oc": "oc.env"}
        config |= {"note": "x${oc.env:OTHER}", "tags": kind | {"a": "${oc.decode:'${oc.env:OTHER}'}"}}
        config["hparams"] |= {"read": "${oc.env:OTHER}", "again": "${${tags.oc}:OTHER}"}
        config["data"] |= {"root": "${oc.env:DATASET,null}", "patch_size": "${hparams.read}"}
        config["task"] |= {"theirs": "${hparams.again}", "theirs_too": "${note}"}

    change(folder, spy)
    words = "- data.name=${oc.env:OTHER}\n- model=${oc.env:OTHER}\n"
    (folder / "overrides.yaml").write_text(words)
    assert sync([str(folder), "loggers=[mlflow,csv,tensorboard]"])
    with pytest.raises(UserError):
        load_model(folder)
    said = capfd.readouterr()
    assert "kept-to-myself" not in said.out + said.err
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in written} >= {".db", ".csv", ".yaml"}
    assert not [path for path in written if b"kept-to-myself" in path.read_bytes()]


@pytest.mark.parametrize(
    "name", [".lock", "readme.txt", "tensorboard", ".trackers.json.new", "checkpoints/best.ckpt", "model"]
)
def test_a_link_that_leads_out_is_not_followed(
    name: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "model.pt2").write_text("of value")
    target = mine if name in ("tensorboard", "model") else mine / "model.pt2"
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(os.path.relpath(target, (folder / name).parent))
    assert not sync([str(folder), "loggers=[tensorboard,mlflow]"])
    assert f"{folder / name} is a link that leads out of the run folder" in capsys.readouterr().err
    for way in (load_model, *WAYS.values()):
        with pytest.raises(ConfigError, match="is a link that leads out of the run folder"):
            way(folder)
    assert [path.name for path in mine.iterdir()] == ["model.pt2"]
    assert (mine / "model.pt2").read_text() == "of value"
    assert not list(tmp_path.glob("mlflow/artifacts/**/readme.txt"))


def test_a_link_within_the_folder_is_a_file_like_any(folder: Path) -> None:
    (folder / "checkpoints/last.ckpt").symlink_to("best.ckpt")
    assert sync([str(folder), "loggers=csv"])
    load_model(folder)


def test_honest_parts_of_all_kinds_are_built(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "their_parts.py").write_text("def flip(images):\n    return images.flip(-1)\n")
    monkeypatch.syspath_prepend(tmp_path)
    f1 = {"_target_": "torchmetrics.classification.MulticlassF1Score", "num_classes": 10}
    loss = {"_target_": "torch.nn.functional.multi_margin_loss", "_partial_": True}
    flip = {"_target_": "their_parts.flip", "_partial_": True}

    def use(config: Config) -> None:
        config["task"] |= {"metrics": {"f1": f1}, "loss": loss}
        config["data"] |= {"augment": flip}
        config |= {"init_from": str(tmp_path / "gone"), "trainer": {"callbacks": [SHELL]}}

    change(folder, use)
    task = load_model(folder, trusted_targets=["their_parts."])
    assert not task.training and "f1" in str(task.metrics)


def test_a_model_needs_no_file_that_its_run_once_read(tmp_path: Path) -> None:
    """Neither a backbone's weights nor a folder of images: what it learned is in its checkpoint."""
    folder = shutil.copytree(ROOT / "tests" / "runs_of_e4f38a4" / "memory", tmp_path / "memory")
    module = {"_target_": "torch.nn.Conv2d", "in_channels": 3, "out_channels": 20, "kernel_size": 1}
    backbone = {"_target_": "patchsets.model.backbone.Backbone", "module": module, "weights": "gone.pt"}
    images = {"_target_": "patchsets.data.anomaly.AnomalyImages", "root": str(tmp_path / "gone")}

    def move(config: Config) -> None:
        config["model"]["features"] = backbone
        config["data"] |= images
        del config["data"]["category"]

    change(folder, move)
    best = folder / "checkpoints" / "best.ckpt"
    checkpoint = torch.load(best, weights_only=True)
    learned = torch.nn.Conv2d(3, 20, 1).state_dict(prefix="network.features.module.")
    learned |= {f"network.features.{name}": torch.ones(1, 1, 1) for name in ("mean", "std")}
    checkpoint["state_dict"] |= learned
    torch.save(checkpoint, best)
    found = load_model(folder).network.features.module.weight
    assert torch.equal(found, learned["network.features.module.weight"])
