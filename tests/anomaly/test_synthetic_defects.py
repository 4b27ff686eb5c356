"""Synthetic defects lie where their mask says, and a network that is shown them finds them."""

import pytest
import torch
from torch import Tensor

from patchsets.anomaly.synthetic_defects import CONTENTS, UNTOUCHED, VISIBLE, paint_defects, perlin_noise
from patchsets.model.unet import UNet, focal_loss
from workbench.common.errors import ConfigError

CPU = torch.device("cpu")


def good_images(count: int, *shape: int) -> Tensor:
    y, x = torch.meshgrid(*(torch.arange(side) for side in shape[-2:]), indexing="ij")
    return (0.5 + 0.3 * torch.sin(x / 2) * torch.cos(y / 3) + 0.02 * torch.randn(count, *shape)).clamp(0, 1)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 48, 80)])
def test_defects_are_where_the_mask_says(shape: tuple[int, int, int]) -> None:
    images = good_images(200, *shape)
    painted, mask = paint_defects(images)
    change = (painted - images).abs().amax(dim=1)
    assert painted.min() >= 0 and painted.max() <= 1
    assert mask.shape == (200, *shape[1:]) and mask.dtype == torch.bool
    assert change[mask].mean() > 5 * VISIBLE
    assert change[~mask].mean() < VISIBLE / 2
    untouched = (change == 0).all(dim=2).all(dim=1)
    assert not mask[untouched].any()
    assert abs(untouched.float().mean() - UNTOUCHED) < 0.15
    shares = mask[~untouched].float().mean(dim=(1, 2))
    assert shares.median() < 0.2 and shares.max() < 0.8


def test_the_same_seed_paints_the_same() -> None:
    images = good_images(4, 1, 32, 32)
    torch.manual_seed(3)
    first = paint_defects(images)
    torch.manual_seed(3)
    again = paint_defects(images)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(paint_defects(images)[0], first[0])


@pytest.mark.parametrize("fill", CONTENTS)
def test_every_content_differs_and_is_finite(fill: object) -> None:
    for images in (good_images(5, 1, 64, 64), good_images(1, 3, 24, 40), torch.full((2, 1, 32, 32), 0.5)):
        content = fill(images)  # type: ignore[operator]
        assert content.shape == images.shape and content.isfinite().all()
    assert (fill(good_images(5, 1, 64, 64)) != good_images(5, 1, 64, 64)).any()  # type: ignore[operator]


def test_noise_is_smooth_and_about_zero() -> None:
    noise = perlin_noise(8, (48, 64), 4, CPU)
    assert noise.shape == (8, 48, 64)
    assert noise.abs().max() <= 1 and noise.mean().abs() < 0.1 and noise.std() > 0.1
    assert (noise[:, 1:] - noise[:, :-1]).abs().max() < 0.3
    assert not torch.equal(noise[0], noise[1])


def test_the_unet_is_small_and_as_large_as_its_image() -> None:
    network = UNet((1, 64, 64))
    assert sum(parameter.numel() for parameter in network.parameters()) == 265_585
    assert network(torch.rand(2, 1, 64, 64)).shape == (2, 64, 64)
    assert network.maps(torch.rand(2, 1, 64, 64))["own"].min() >= 0
    with pytest.raises(ConfigError, match="50 x 64 pixels cannot be halved 2 times; take a multiple of 4"):
        UNet((3, 50, 64))


def test_focal_loss_by_hand() -> None:
    logits = torch.tensor([[[0.0, 2.0]]])
    p = torch.sigmoid(torch.tensor(2.0))
    expected = (5 * 0.25 * torch.log(torch.tensor(2.0)) - p**2 * torch.log(1 - p)) / 2
    torch.testing.assert_close(focal_loss(logits, torch.tensor([[[True, False]]])), expected)
