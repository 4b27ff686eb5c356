"""From an image and its reconstruction to maps of the error, and from a map to the score of the image.

Shapes: B images, C channels, H x W pixels. Scores are never clamped: that would tie the highest.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.portable.model import POOLINGS

TOP_SHARE = 0.01  # of the pixels
RADIUS, SIGMA = 5, 1.5  # pixels: the window of the structural similarity
LUMINANCE = (19595, 38470, 7471)  # of red, green, blue in 65536, as Pillow has it
C1, C2 = 0.01**2, 0.03**2  # keep its quotients finite, for values in 0..1


def error_maps(images_BCHW: Tensor, reconstructions_BCHW: Tensor) -> dict[str, Tensor]:
    """Return `l2`, `ssim` and `l2+ssim` `[B, H, W]` of images in 0..1; higher is more anomalous.

    `l2` is the squared error, `ssim` is 1 - structural similarity (Wang et al. 2004; for anomalies Bergmann
    et al. 2019), both as means over the channels. `l2+ssim` is their geometric mean, which needs no common
    scale.
    """
    l2_BHW = (images_BCHW - reconstructions_BCHW).square().mean(dim=1)
    ssim_BHW = 1 - similarity(images_BCHW, reconstructions_BCHW).mean(dim=1)
    return {"l2": l2_BHW, "ssim": ssim_BHW, "l2+ssim": (l2_BHW * ssim_BHW.clamp(min=0)).sqrt()}


def similarity(images_BCHW: Tensor, others_BCHW: Tensor) -> Tensor:
    """Return the structural similarity of images in 0..1 around each pixel `[B, C, H, W]`, at most 1.

    As torchmetrics computes it, whose own function cannot be exported for batches of any size.
    """
    x, y = images_BCHW, others_BCHW
    mean_x, mean_y, xx, yy, xy = blur(torch.cat([x, y, x * x, y * y, x * y], dim=1)).chunk(5, dim=1)
    variances = xx - mean_x.square() + yy - mean_y.square()
    covariance = xy - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + C1) / (mean_x.square() + mean_y.square() + C1)
    return luminance * (2 * covariance + C2) / (variances + C2)


def blur(images_BCHW: Tensor) -> Tensor:
    """Return images under a Gaussian of 1.5 pixels, 11 pixels wide, mirrored at the border."""
    channels = images_BCHW.shape[1]
    distance = torch.arange(-RADIUS, RADIUS + 1, dtype=images_BCHW.dtype, device=images_BCHW.device)
    weight = torch.softmax(-0.5 * (distance / SIGMA).square(), dim=0).expand(channels, 1, 1, -1)
    padded = F.pad(images_BCHW, (RADIUS,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(padded, weight, groups=channels), weight.transpose(2, 3), groups=channels)


def pool(map_BHW: Tensor, pooling: str) -> Tensor:
    """Return the score of each image `[B]`: `mean`, `max`, or `top1`, the mean of the highest hundredth."""
    pixels_BP = map_BHW.flatten(1)
    if pooling == "mean":
        return pixels_BP.mean(dim=1)
    highest = 1 if pooling == "max" else max(1, round(TOP_SHARE * pixels_BP.shape[1]))
    return pixels_BP.topk(highest, dim=1).values.mean(dim=1)


def all_scores(maps: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the scores `[B]` by every map and pooling, under the names `<map>/<pooling>`."""
    return {
        f"{name}/{pooling}": pool(map_BHW, pooling) for name, map_BHW in maps.items() for pooling in POOLINGS
    }


def from_uint8(images_BHWC: Tensor, channels: int) -> Tensor:
    """Return uint8 images `[B, H, W, 3]` as a network is given them: `[B, channels, H, W]` in 0..1.

    Where the network knows one channel it is given the luminance, which leaves grey as it is.
    """
    if channels == 1:
        weight_C = torch.tensor(LUMINANCE, dtype=torch.int32, device=images_BHWC.device)
        images_BHWC = ((images_BHWC.int() * weight_C).sum(dim=3, keepdim=True) + 32768) // 65536
    return images_BHWC.permute(0, 3, 1, 2).float() / 255
