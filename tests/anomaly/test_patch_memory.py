"""A memory of patches finds what is far from all of them, whatever its size and its way to disk."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from scipy.spatial.distance import mahalanobis
from torch import Tensor, nn

from patchsets.model import patch_distances as nearest_patches
from patchsets.model.encoder import Encoder
from patchsets.model.filter_bank import FilterBank, RawPatches, log_gabor_kernels
from patchsets.model.patch_distances import (
    CORESETS,
    SHRINKAGE,
    NearestPatches,
    PlaceGaussians,
    greedy_coreset,
)
from patchsets.model.patch_memory import PatchMemory
from workbench.common.errors import ConfigError, DataError
from workbench.config.build import build_later

SHAPE = (1, 32, 40)
FEATURES = ("filter_bank", "raw")
DISTANCES = ("nearest", "mahalanobis")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def stripes(count: int) -> Tensor:
    """Give good images: faintly noisy stripes whose phase differs."""
    phase = torch.rand(count, 1, 1, 1) * 6
    wave = 0.5 + 0.3 * torch.sin(torch.arange(SHAPE[2]) + phase)
    return wave + 0.01 * torch.randn(count, *SHAPE)


def remember(images: Tensor, **named: object) -> PatchMemory:
    network = PatchMemory(SHAPE, **{"size": 200, **named})  # type: ignore[arg-type]
    network.expect(len(images))
    for batch in images.split(16):
        network.add(batch)
    network.fit()
    return network.eval()


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("distance", DISTANCES)
def test_the_map_is_highest_at_what_no_good_image_has(features: str, distance: str) -> None:
    network = remember(stripes(48), features=features, distance=distance)
    image = stripes(1)
    image[0, 0, 8:16, 24:32] = image[0, 0, 8:16, 24:32].T.clone()
    own = network.maps(image)["own"]
    assert own.shape == (1, 32, 40)
    row, column = divmod(int(own.flatten().argmax()), 40)
    assert 6 <= row < 18 and 22 <= column < 34
    assert own.max() > 2 * network.maps(stripes(1))["own"].max()


def test_what_is_remembered_is_at_no_distance() -> None:
    images = stripes(2)
    network = remember(images, features="raw")
    assert network.maps(images)["own"].max() < 0.05
    assert network.memory.squares.isinf().sum() == 200 - 2 * 80  # rows that no patch was there for


@pytest.mark.parametrize("neighbours", [1, 3])
def test_blocks_change_nothing(neighbours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = NearestPatches(6, size=50, neighbours=neighbours, coreset="random")
    memory.expect(4, 30)
    memory.add(torch.randn(4, 30, 6))
    memory.fit()
    query = torch.randn(2, 30, 6)
    expected = (
        torch.cdist(memory._project(query), memory.memory).topk(neighbours, largest=False).values.mean(-1)
    )
    torch.testing.assert_close(memory(query), expected, atol=1e-4, rtol=0)
    monkeypatch.setattr(nearest_patches, "BLOCK", 30 * 7)
    assert len(memory._blocks(30)) == 8
    torch.testing.assert_close(memory(query), expected, atol=1e-4, rtol=0)


def test_the_greedy_coreset_takes_the_farthest_each_time() -> None:
    patches = torch.randn(60, 3)
    chosen = greedy_coreset(patches, 10).tolist()
    for taken in range(1, 10):
        to_chosen = torch.cdist(patches, patches[chosen[:taken]]).min(dim=1).values
        assert chosen[taken] == int(to_chosen.argmax())


@pytest.mark.parametrize("name", CORESETS)
def test_a_coreset_repeats_nothing_even_of_equal_patches(name: str) -> None:
    chosen = CORESETS[name](torch.zeros(8, 3), 5)
    assert len(chosen.unique()) == 5
    assert len(CORESETS[name](torch.randn(3, 2), 5)) == 3


def test_each_place_has_its_own_gaussian() -> None:
    values = torch.randn(40, 5, 3) * torch.rand(5, 1) + torch.randn(5, 3)
    gaussians = PlaceGaussians(3, 5)
    for batch in values.split(16):
        gaussians.add(batch)
    gaussians.fit()
    overall = np.cov(values.reshape(-1, 3).T.numpy(), bias=True)
    query = torch.randn(2, 5, 3)
    for place in range(5):
        covariance = np.cov(values[:, place].T.numpy(), bias=True) + SHRINKAGE * overall
        inverse = np.linalg.inv(covariance)
        expected = mahalanobis(query[1, place].numpy(), values[:, place].mean(0).numpy(), inverse)
        assert gaussians(query)[1, place].item() == pytest.approx(expected, rel=2e-3)


def test_constant_images_have_finite_distances() -> None:
    for distance in DISTANCES:
        network = remember(torch.full((4, *SHAPE), 0.5), distance=distance)
        assert network.maps(stripes(2))["own"].isfinite().all()


def test_the_size_is_said_before_and_kept(caplog: pytest.LogCaptureFixture) -> None:
    network = PatchMemory(SHAPE, features="raw", size=50, candidates=100, components=16)
    line = network.expect(5)
    assert line == (
        "5 good images: 400 patches of 64 features (0.1 MB), 100 of them drawn; "
        "50 of 16 dimensions remembered, greedy coreset (0.0 MB)"
    )
    network.add(stripes(5))
    assert sum(map(len, network.memory._collected)) == 100
    network.fit()
    assert network.memory.memory.shape == (50, 16)
    assert "80 places with a Gaussian of 20" in PatchMemory(SHAPE, distance="mahalanobis").expect(5)


@pytest.mark.parametrize("distance", DISTANCES)
def test_a_checkpoint_fits_however_little_was_remembered(distance: str, tmp_path: Path) -> None:
    network = remember(stripes(2), distance=distance)
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    other = PatchMemory(SHAPE, size=200, distance=distance)
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    image = stripes(3)
    assert torch.equal(other.maps(image)["own"], network.maps(image)["own"])


@pytest.mark.parametrize("distance", DISTANCES)
def test_it_is_exported_for_any_number_of_images(distance: str) -> None:
    class Maps(nn.Module):
        def __init__(self, network: PatchMemory) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: Tensor) -> Tensor:
            return self.network.maps(images)["own"]

    maps = Maps(remember(stripes(8), distance=distance))
    program = torch.export.export(maps, (stripes(2),), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    image = stripes(5)
    torch.testing.assert_close(program.module()(image), maps(image), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("named", "wrong"),
    [
        ({"features": "colour"}, "model.features: there is no colour; there is filter_bank, raw"),
        ({"distance": "cosine"}, "model.distance: there is no cosine; there is nearest, mahalanobis"),
        ({"coreset": "best"}, "model.coreset: there is no best; there is greedy, random"),
        ({"neighbours": 201}, "model.neighbours: 201 is not from 1 to the memory's 200 patches"),
        ({"candidates": 10}, "model.candidates: 10 are fewer than the memory's 200 patches"),
        ({"features": nn.Flatten()}, r"model.features: gives no map \[B, D, h, w\]"),
    ],
)
def test_what_cannot_be_is_said_at_construction(named: dict[str, object], wrong: str) -> None:
    with pytest.raises(ConfigError, match=wrong):
        PatchMemory(SHAPE, **{"size": 200, **named})  # type: ignore[arg-type]


def test_too_few_good_patches_are_said() -> None:
    with pytest.raises(DataError, match="80 good patches are fewer than 100 neighbours"):
        remember(stripes(1), neighbours=100)
    with pytest.raises(DataError, match="1 good images are too few"):
        remember(stripes(1), distance="mahalanobis")


# Features


def test_raw_patches_lie_around_the_middle_of_their_cell() -> None:
    image = torch.rand(1, 3, 16, 24)
    patches = RawPatches(size=8, stride=4)(image)
    assert patches.shape == (1, 3 * 64, 4, 6)
    assert torch.equal(patches[0, :, 1, 2], image[0, :, 2:10, 6:14].flatten())


def test_a_grating_answers_in_its_own_filter() -> None:
    bank = FilterBank([4.0, 8.0], orientations=4)
    for wanted, (wavelength, direction) in enumerate([(w, d) for w in (4, 8) for d in range(4)]):
        angle = np.pi * direction / 4
        y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
        wave = torch.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / wavelength)
        energies = bank(0.5 + 0.2 * wave[None, None])[0, :8, 8, 8]
        assert int(energies.argmax()) == wanted


def test_filters_see_no_brightness() -> None:
    kernels = log_gabor_kernels([3.0, 6.0], 6)
    assert kernels.sum(dim=(-2, -1)).abs().max() < 1e-5
    torch.testing.assert_close(kernels.abs().sum(dim=(-2, -1)), torch.ones(12, 1))


def small_network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3, 2, 1))


def test_a_backbone_reads_local_weights_and_never_learns(tmp_path: Path) -> None:
    trained = small_network()
    torch.save(trained.state_dict(), tmp_path / "weights.pt")
    backbone = Encoder(small_network(), str(tmp_path / "weights.pt"), layers=["1", "2"]).train()
    grey = torch.rand(2, 1, 16, 16)
    features = backbone(grey)
    assert features.shape == (2, 10, 8, 8)
    expected = torch.nn.functional.avg_pool2d(trained.eval()[:2](grey.expand(-1, 3, -1, -1)), 3, 1, 1)
    torch.testing.assert_close(features[:, :4], expected)
    assert torch.equal(backbone(grey), features)
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    network = remember(stripes(4), features=backbone)
    assert network.maps(stripes(1))["own"].shape == (1, 32, 40)


def test_a_backbone_refuses_what_it_cannot_use(tmp_path: Path) -> None:
    (tmp_path / "pickled.pt").write_bytes(pickle.dumps(Path("/")))
    torch.save(nn.Conv2d(1, 1, 1).state_dict(), tmp_path / "other.pt")
    for weights, wrong in (
        ("none.pt", "there is no file .*none.pt"),
        ("pickled.pt", "no file of plain tensors"),
        ("other.pt", "other.pt is another network's"),
    ):
        with pytest.raises(ConfigError, match=wrong):
            Encoder(small_network(), str(tmp_path / weights))
    node = {
        "_target_": "patchsets.model.patch_memory.PatchMemory",
        "features": {
            "_target_": "patchsets.model.encoder.Encoder",
            "module": {"_target_": "torch.nn.Flatten"},
            "weights": str(tmp_path / "none.pt"),
        },
    }
    with pytest.raises(ConfigError, match=r"^model.encoder.weights: there is no file"):
        build_later(OmegaConf.create(node), "model", given=["image_shape"])
    with pytest.raises(ConfigError, match="there is no layer4; there is 0, 1, 2"):
        Encoder(small_network(), layers=["layer4"])
