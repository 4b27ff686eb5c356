"""Pretrained networks that look first: where they come from, and that a run needs no file of them again."""

import json
import shutil
from pathlib import Path
from threading import Event
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
import transformers
from hub_server import hub
from in_process import start
from torch import Tensor, nn
from whole_command import the_run

from patchsets.data.encoded_images import compute_features, load_rows_only
from patchsets.data.image_sets import LabelledImages
from patchsets.data.textures import Textures
from patchsets.model import encoder as encoders
from patchsets.model import hub as hub_files
from patchsets.model import pretrained
from patchsets.model.encoder import Encoder
from patchsets.model.pretrained import make_encoder
from patchsets.task.task import Task
from workbench.common.errors import ConfigError
from workbench.models.load import load_model, with_model
from workbench.portable.model import load_model as load_portable
from workbench.portable.pixels import as_rgb

SMALL = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 16}
MODELS = {
    "resnet": transformers.ResNetModel(
        transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 8, 12, 16], depths=[1, 1, 1, 1])
    ),
    "dinov2": transformers.Dinov2Model(transformers.Dinov2Config(**SMALL, image_size=28, patch_size=14)),
    "vit": transformers.ViTModel(transformers.ViTConfig(**SMALL, image_size=32, patch_size=8)),
}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with caches of its own, and no hub."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # where nobody listens
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


@pytest.fixture
def tiny(place: Path, request: pytest.FixtureRequest) -> Path:
    """The folder of a tiny model as the hub has them."""
    folder = place / "tiny"
    MODELS[getattr(request, "param", "dinov2")].save_pretrained(folder)
    described = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.1], "size": {"shortest_edge": 32}}
    (folder / "preprocessor_config.json").write_text(json.dumps(described))
    return folder


def images(height: int = 48, width: int = 40, number: int = 2) -> Tensor:
    return torch.rand(number, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("tiny", "layers", "shape"),
    [
        ("resnet", ["stage2", "stage3"], (20, 6, 5)),
        ("dinov2", ["stage2"], (16, 4, 3)),
        ("vit", [""], (16, 6, 5)),
    ],
    indirect=["tiny"],
)
def test_maps_of_the_hubs_networks_and_their_own_mean_and_size(
    tiny: Path, layers: list[str], shape: tuple[int, ...]
) -> None:
    encoder = make_encoder(f"hf:{tiny}")
    assert encoder.layers == layers and encoder(images()).shape == (2, *shape)
    assert encoder.mean.flatten().tolist() == pytest.approx([0.5, 0.4, 0.3])
    assert encoder.sizes is not None and encoder.sizes[1] == 32
    assert encoder.vectors(images(), encoder.last).shape == (2, 16)
    again = make_encoder(json.loads(json.dumps(encoder.description)))
    again.load_state_dict(encoder.state_dict())
    assert torch.equal(again(images()), encoder(images()))


@pytest.mark.parametrize("tiny", ["vit"], indirect=True)
def test_tokens_become_the_places_they_belong_to(tiny: Path) -> None:
    encoder = make_encoder(f"hf:{tiny}")
    there = transformers.ViTModel.from_pretrained(tiny).eval()
    with torch.no_grad():
        prepared = encoder._prepared(images(), None)
        tokens = there(prepared, interpolate_pos_encoding=True).last_hidden_state
        (map_BDhw,) = encoder._outputs(prepared, [""])
    assert torch.allclose(map_BDhw[:, :, 2, 3], tokens[:, 1 + 2 * 5 + 3], atol=1e-5)


def test_a_model_of_a_hub_is_downloaded_once(
    place: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hub(tiny, "me/tiny") as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        first = make_encoder("hf:me/tiny")
        with pytest.raises(ConfigError, match=r"hf:me/other: http://127.0.0.1:\d+ does not give it"):
            make_encoder("hf:me/other")
    shutil.rmtree(tiny)
    again = make_encoder("hf:me/tiny")  # though the hub is gone
    assert torch.equal(first(images()), again(images()))


def test_an_absent_hub_is_one_line_and_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """huggingface_hub itself, which goes on asking for a minute, is not let to."""
    asked = []
    download = huggingface_hub.snapshot_download

    def only_local(*arguments: Any, **named: Any) -> Any:
        asked.append(named.get("local_files_only"))
        return download(*arguments, **named)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", only_local)
    with pytest.raises(ConfigError, match=r"^model.encoder=hf:me/tiny: http://127.0.0.1:9 cannot be reached"):
        make_encoder("hf:me/tiny")
    assert asked == [True]


def test_a_name_server_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = Event()

    def connect(*_: object) -> None:
        answered.wait()
        raise OSError

    monkeypatch.setattr(hub_files, "PATIENCE", 0.01)
    monkeypatch.setattr(hub_files.socket, "create_connection", connect)
    assert not hub_files.answers("https://huggingface.co")
    answered.set()


@pytest.mark.parametrize(
    ("encoder", "wrong"),
    [
        ("lite1", "there is no lite1; there is lite0, hf:<name or folder>"),
        ("lite0:x", "there is no lite0:x"),
        ({"layers": ["a"]}, "names none; there is lite0"),
        ({"name": "lite0", "layer": ["a"]}, "model.encoder.layer: there is no such key: did you mean layers"),
        ({"name": "lite0", "layers": ["blocks.4"]}, "there is no blocks.4; there is .*_blocks.4, _blocks.5"),
        ("hf:a/b/c", "no model of a hub is named so"),
        ("timm:resnet18", "timm is not installed"),
    ],
)
def test_what_there_is_not_is_said_with_what_there_is(encoder: Any, wrong: str) -> None:
    with pytest.raises(ConfigError, match=wrong):
        make_encoder(encoder)


def test_a_wrong_layer_names_the_blocks_of_a_large_network(tiny: Path) -> None:
    large = nn.Sequential(*(nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1)) for _ in range(30)))
    with pytest.raises(ConfigError, match=r"there is no x; there is 0, 1, .*, 28, 29$"):
        Encoder(large, layers=["x"])


def test_lite0_tells_the_same_of_patches_in_chunks_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = make_encoder("lite0")
    patches = images(16, 16, 5)[:, :1]
    at_once = encoder.vectors(patches, encoder.layers)
    assert at_once.shape == (5, 152)
    monkeypatch.setattr(encoders, "AT_ONCE", 2 * 64**2)
    assert torch.allclose(encoder.vectors(patches, encoder.layers), at_once, atol=1e-5)
    encoder.requires_grad_(True)
    encoder.vectors(patches, encoder.layers).sum().backward()
    whole = {name: each.grad for name, each in encoder.named_parameters() if each.grad is not None}
    assert whole and all(grad.isfinite().all() for grad in whole.values())


# Runs

FEW = ["loggers=[]", "+data.windows=[4,2,4]", "hparams.max_epochs=1", "hparams.batch_size=4"]
PATCHES = ["data=textures", "model=attention_pool", "data.patch_size=32", "data.stride=32", *FEW]
WHOLE = ["data=textures", "model=linear", "data.patch_size=null", *FEW]
MEMORY = ["task=patch_memory", "hparams.image_size=32", "model.size=50", "loggers=[]"]
MEMORY += [f"+data.{name}=4" for name in ("train", "val", "per_kind")]


def answers_of_its_model(run: Path) -> np.ndarray:
    """Return what the exported model answers to the first test images."""
    task = load_model(run)
    task.preprocessing_train()
    model = load_portable(with_model(run))
    shown = np.stack([as_rgb(task.data.image("test", row)) for row in range(4)])
    return model(shown)["score" if model.kind == "anomaly" else "probability"]


def written(run: Path) -> np.ndarray:
    """Return what predictions.csv says of the same images."""
    rows = [line.split(",") for line in (run / "predictions.csv").read_text().splitlines()]
    first = next(n for n, name in enumerate(rows[0]) if name.startswith(("probability", "score")))
    last = first + 1 if rows[0][first] == "score" else None
    return np.array(rows[1:5])[:, first:last].astype(float).squeeze()


@pytest.mark.parametrize("words", [PATCHES, WHOLE, MEMORY], ids=["patches", "whole", "memory"])
def test_a_run_needs_no_file_of_its_encoder_again(place: Path, tiny: Path, words: list[str]) -> None:
    outputs = f"outputs={place / 'outputs'}"
    start(*words, f"model.encoder=hf:{tiny}", outputs)
    shutil.rmtree(tiny)
    experiment = "Patch_Memory_Anomaly_Detection" if words is MEMORY else "patch_sets"
    run = the_run(place / "outputs", experiment)
    network = load_model(run).network
    assert pretrained.encoder_of(network) is not None
    np.testing.assert_allclose(answers_of_its_model(run).squeeze(), written(run), atol=1e-4)
    shutil.rmtree(run / "model")
    np.testing.assert_allclose(answers_of_its_model(run).squeeze(), written(run), atol=1e-4)
    if words is not MEMORY:
        start(f"resume={run}", outputs, "hparams.max_epochs=2")
        start(*words, f"model.encoder=hf:{tiny}", f"init_from={run}", outputs)


def test_frozen_features_are_computed_once_and_train_the_same(
    place: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*PATCHES, f"model.encoder=hf:{tiny}", "hparams.patches=3", "data.coordinates=true"]

    def metrics(*more: str) -> dict[str, float]:
        return start(*words, f"outputs={place / 'outputs'}", "save_model=False", *more)

    def said() -> str:
        return (the_run(place / "outputs") / "train.log").read_text()

    first = metrics()
    assert "encoding 30 images, once" in said()
    monkeypatch.setattr(Encoder, "vectors", lambda *_: torch.zeros(1, 16))  # as its constructor asks
    assert metrics() == first and "encoding" not in said()
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "other"))
    monkeypatch.setattr(Task, "_keeps_features", lambda _: False)
    assert (
        metrics() == pytest.approx(first, rel=1e-4) and not (place / "other" / "patchsets/features").exists()
    )


def test_features_are_those_of_an_image_in_whatever_split_it_lies(
    place: Path,
) -> None:
    data = Textures(4, 0, 32, 32, windows=(3, 2, 2))
    data.setup()
    one, other = data.splits["train"], data.splits["test"]
    data.splits = {"train": one, "test": one.take(torch.tensor([4, 1]))}
    data.splits["test"] = LabelledImages(data.splits["test"].images, other.label[:2], torch.arange(2))
    data.as_patches, seen = True, []

    def encode(patches: Tensor) -> Tensor:
        seen.append(len(patches))
        return patches.flatten(1)[:, :5]

    load_rows_only(data)
    compute_features(data, encode, "the first values", torch.device("cpu"))
    assert sum(seen) == 9 * 9
    train, test = (
        data.make_batch(data.splits[name].take(torch.arange(2)), training=False).sets for name in data.splits
    )
    there = data.make_batch(data.splits["train"].take(torch.tensor([4, 1])), training=False).sets
    assert torch.equal(test.values, there.values) and not torch.equal(train.values, test.values)
    assert test.places is not None and torch.equal(test.places[:9], there.places[9:])


def test_an_encoder_is_frozen_unless_it_has_a_rate(place: Path, tiny: Path) -> None:
    def encoder_after(*more: str) -> dict[str, Tensor]:
        start(*PATCHES, f"model.encoder=hf:{tiny}", f"outputs={place / str(len(more))}", *more)
        found = pretrained.encoder_of(load_model(the_run(place / str(len(more)))).network)
        assert found is not None
        return found.state_dict()

    begun = make_encoder(f"hf:{tiny}").state_dict()
    frozen, tuned = encoder_after(), encoder_after("+task.learning_rates={encoder: 0.1}")
    assert all(torch.equal(frozen[name], begun[name]) for name in begun)
    assert any(not torch.equal(tuned[name], begun[name]) for name in begun)


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["data=bags"], "model.encoder: it looks at images, and Bags has none"),
        (["model=patch_cnn"], "looks at the patches itself; leave the encoder out"),
        (["task=vae"], "no place for one; task=patch_memory has"),
        (["data=textures", "data.patch_size=null", "model=linear", "model.encoder=null"], "say which"),
    ],
)
def test_an_encoder_where_there_is_no_place_for_one(place: Path, words: list[str], wrong: str) -> None:
    with pytest.raises(ConfigError, match=wrong):
        start("model.encoder=lite0", *words, f"outputs={place / 'outputs'}")
    assert not (place / "outputs").exists()
