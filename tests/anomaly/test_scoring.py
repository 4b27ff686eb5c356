"""Maps, poolings and the deployed detector."""

from typing import get_args

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from patchsets.anomaly.detector import Detector
from patchsets.anomaly.scoring import all_scores, error_maps, from_uint8, pool, similarity
from patchsets.model.autoencoder import Autoencoder, Loss, reconstruction_loss
from workbench.common.errors import ConfigError
from workbench.config.build import check
from workbench.config.signatures import signature
from workbench.portable.model import POOLINGS


def test_a_perfect_reconstruction_has_no_error() -> None:
    images = torch.rand(2, 3, 16, 16)
    for name, map_BHW in error_maps(images, images).items():
        assert map_BHW.shape == (2, 16, 16)
        assert map_BHW.abs().max() < 1e-3, name


def test_maps_are_highest_where_the_error_is() -> None:
    images = torch.full((1, 1, 32, 32), 0.5)
    reconstructions = images.clone()
    reconstructions[0, 0, 20:24, 8:12] = 1.0
    for name, map_BHW in error_maps(images, reconstructions).items():
        row, column = divmod(int(map_BHW.flatten().argmax()), 32)
        assert 19 <= row <= 24 and 7 <= column <= 12, name
    assert error_maps(images, reconstructions)["l2"].max() == pytest.approx(0.25)


def test_similarity_is_the_one_of_torchmetrics() -> None:
    from torchmetrics.functional.image import structural_similarity_index_measure

    images = torch.rand(2, 3, 24, 32)
    others = (images + 0.2 * torch.rand(2, 3, 24, 32)).clamp(max=1)
    _, expected = structural_similarity_index_measure(
        others, images, data_range=1.0, reduction="none", return_full_image=True
    )
    torch.testing.assert_close(similarity(images, others), expected, atol=1e-4, rtol=0)


def test_poolings() -> None:
    map_BHW = torch.arange(200.0).view(1, 10, 20)
    assert [pool(map_BHW, name).item() for name in ("mean", "max", "top1")] == [99.5, 199.0, 198.5]
    assert pool(map_BHW[:, :2, :2], "top1") == 21.0  # at least one pixel


def test_scores_are_not_clamped() -> None:
    score = all_scores({"own": torch.tensor([3.0, 30.0, -300.0]).view(3, 1, 1)})
    assert set(score) == {f"own/{pooling}" for pooling in POOLINGS}
    assert score["own/max"].tolist() == [3.0, 30.0, -300.0]


def test_grey_survives_the_way_to_one_channel() -> None:
    grey = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(1, 16, 16, 3)
    assert torch.equal(from_uint8(grey, 1)[:, 0], from_uint8(grey, 3)[:, 0])


@pytest.mark.parametrize("loss", get_args(Loss))
def test_losses_fall_with_the_error_and_have_gradients(loss: str) -> None:
    images = torch.rand(2, 1, 16, 16).round()
    near, far = (images - 0.5) * 8, (images - 0.5) * 2
    assert reconstruction_loss(near, images, loss) < reconstruction_loss(far, images, loss)
    logits = far.clone().requires_grad_()
    reconstruction_loss(logits, images, loss).backward()
    assert logits.grad is not None and bool((logits.grad != 0).any())


def test_bce_takes_logits_of_any_size() -> None:
    assert reconstruction_loss(torch.tensor([200.0]), torch.tensor([0.0]), "bce") == 200.0


def detector(channels: int, score_map: str = "l2+ssim") -> Detector:
    torch.manual_seed(0)
    network = Autoencoder((channels, 32, 32), [4, 8], latent_dim=3).eval()
    calibration = np.linspace(0.1, 0.6, 20)
    return Detector(network, channels, score_map, "top1", 0.3, calibration, (0.0, 0.5, 1.0)).eval()


def images(number: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (number, 32, 32, 3), dtype=torch.uint8, generator=generator)


def test_detector_decides_by_its_buffers() -> None:
    one = detector(3)
    answer = one(images(5))
    assert {name: tuple(value.shape) for name, value in answer.items()} == {
        "score": (5,),
        "p_value": (5,),
        "is_anomaly": (5,),
        "map": (5, 32, 32),
    }
    above = (one.calibration >= answer["score"][:, None]).sum(dim=1)
    torch.testing.assert_close(answer["p_value"], (1 + above) / 21)
    one.threshold.fill_(answer["score"].median())
    assert int(one(images(5))["is_anomaly"].sum()) == 2  # the median itself is not above


def test_exported_detector_gives_the_same_scores_for_any_batch() -> None:
    one = detector(1)
    program = torch.export.export(one, (images(2),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    exported = program.module()
    for number in (1, 2, 7):
        here, there = one(images(number, number)), exported(images(number, number))
        for name in here:
            torch.testing.assert_close(there[name], here[name], atol=1e-6, rtol=0)
    exported.get_buffer("threshold").fill_(-1.0)
    assert exported(images(3))["is_anomaly"].all(), "a threshold can be changed after the export"


@pytest.mark.parametrize(("bottleneck", "codes"), [("vector", (2, 5)), ("spatial", (2, 5, 4, 2))])
def test_autoencoder_mirrors_its_input(bottleneck: str, codes: tuple[int, ...]) -> None:
    network = Autoencoder((3, 32, 16), [4, 8, 16], latent_dim=5, bottleneck=bottleneck)
    inputs = torch.rand(2, 3, 32, 16)
    assert network.encoder(inputs).shape == codes
    assert network(inputs).shape == inputs.shape
    assert bool((network(inputs) < 0).any()), "logits, not probabilities"
    assert 0 <= network.reconstruct(inputs).min() <= network.reconstruct(inputs).max() <= 1
    kinds = [type(layer) for layer in network.encoder[0]]
    assert kinds == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d]


def test_the_autoencoder_for_256_pixels_has_the_published_size() -> None:
    with torch.device("meta"):
        network = Autoencoder((3, 256, 256), [32, 64, 128], latent_dim=32)
    assert sum(parameter.numel() for parameter in network.parameters()) == pytest.approx(8.66e6, rel=1e-3)


def test_a_size_that_cannot_be_halved_is_one_line() -> None:
    with pytest.raises(ConfigError, match=r"hparams.image_size: 100x100 .* multiple of 8, such as 96"):
        Autoencoder((3, 100, 100), [32, 64, 128], latent_dim=32)


PARTS = {
    "image_size": "patchsets.data.anomaly.AnomalyImages",
    **dict.fromkeys(
        ("latent_dim", "enc_channels", "loss", "bottleneck"), "patchsets.model.autoencoder.Autoencoder"
    ),
    "beta": "patchsets.model.autoencoder.VariationalAutoencoder",
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image_size", 0), ("latent_dim", 0), ("enc_channels", []), ("enc_channels", [8, 0]), ("loss", "l3"),
        ("bottleneck", "wide"), ("beta", -1.0), ("score_map", "l9"), ("pooling", "median"),
        ("threshold", "f2"), ("threshold", True), ("false_positive_rate", 0.0), ("false_positive_rate", 1.0),
    ],
)  # fmt: skip
def test_wrong_values_are_refused_by_name(name: str, value: object) -> None:
    target = PARTS.get(name, "patchsets.task.autoencoder.Reconstruction")
    part = {"_target_": target, name: f"${{hparams.{name}}}"}
    config = OmegaConf.create({"hparams": {name: value}, "part": part})
    with pytest.raises(ConfigError, match=f"hparams.{name}: .* is not "):
        check(config.part, "part", given=signature(target).parameters)
