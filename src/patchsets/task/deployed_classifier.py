"""A classifier as it is deployed: uint8 images in, probabilities out, with all that lies between inside.

Shapes: B images, H, W pixels, C channels the network knows, K classes.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from patchsets.data.image_sets import ImageSets
from patchsets.data.images import Preprocess, apply
from patchsets.data.patches import PatchCutter
from patchsets.set_module import Sets
from workbench.common.errors import UserError

LUMINANCE = (19595, 38470, 7471)  # of red, green, blue in 65536, as Pillow has it


class Classifier(nn.Module):
    """From uint8 images `[B, H, W, 3]` to `probability` `[B, K]`, or by a regression to `value` `[B, K]`.

    `prepare` makes what the network is given from images `[B, H, W, C]` uint8, after the `preprocessing`.
    With the `cutter` of its patches a network that has `forward_and_attention(sets)` also says what it looks
    at: `attention` `[B, N]`, adding up to 1 over the patches of an image, and their top-left pixels (y, x),
    `position` `[N, 2]`.
    """

    def __init__(
        self,
        network: nn.Module,
        channels: int,
        preprocessing: Sequence[Preprocess],
        prepare: Callable[[Tensor], Sets | Tensor],
        kind: str = "classification",
        cutter: PatchCutter | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.channels = channels
        self.preprocessing = preprocessing
        self.prepare = prepare
        self.kind = kind
        self.cutter = cutter if hasattr(network, "forward_and_attention") else None

    def forward(self, images_BHWC: Tensor) -> dict[str, Tensor]:
        images = grey(images_BHWC) if self.channels == 1 else images_BHWC
        for function in self.preprocessing:
            images = apply(function, images)
        given = self.prepare(images)
        if self.cutter is None:
            return self._answer(self.network(given).float())
        output, weight_T = self.network.forward_and_attention(given)  # type: ignore[operator]  # it has it
        looked = {"attention": given.with_values(weight_T.float()).pad()}  # type: ignore[union-attr]  # Sets
        return self._answer(output.float()) | looked | {"position": self.cutter.positions(*images.shape[1:3])}

    def _answer(self, output: Tensor) -> dict[str, Tensor]:
        if self.kind == "regression":
            return {"value": output}
        return {"probability": output.sigmoid() if self.kind == "multilabel" else output.softmax(dim=1)}


def grey(images_BHWC: Tensor) -> Tensor:
    """Return `[B, H, W, 3]` uint8 as `[B, H, W, 1]`, exactly as Pillow does."""
    weight_C = torch.tensor(LUMINANCE, dtype=torch.int32)
    luminance = (images_BHWC.int() * weight_C).sum(dim=3, keepdim=True)
    return ((luminance + 32768) // 65536).to(torch.uint8)


def whole(images_BHWC: Tensor) -> Tensor:
    """Return images as a network for whole ones is given them: `[B, C, H, W]` in 0..1."""
    return images_BHWC.permute(0, 3, 1, 2).float() / 255


def describe_classifier(
    network: nn.Module, data: ImageSets, kind: str = "classification", names: Sequence[str] = ()
) -> tuple[nn.Module, dict[str, Any]]:
    """Return the network as a model of images, and in plain values what it takes and answers.

    `names` are those of the numbers that it regresses; else they are the classes of the data.

    Raises UserError where patches are left out by what they show, which no exported graph can follow.
    """
    channels = data.splits["train"].images.channels
    classifier = Classifier(network, channels, data.preprocessing, _preparation(data), kind, data.cutter)
    patches = {} if classifier.cutter is None else {"patch_size": classifier.cutter.size}
    return classifier, {
        **patches,
        "kind": kind,
        "preprocessing": _sizes(data) | getattr(data, "fitting", dict)(),
        "classes": list(names or data.classes),
        "data": data.fingerprint(),
    }


def _sizes(data: ImageSets) -> dict[str, Any]:
    """Return the size all images have, else the smallest that gives a patch."""
    size = torch.cat([part.images.size for part in data.splits.values()])
    if bool((size == size[0]).all()):
        return {"size": size[0].tolist(), "fit": "stretch"}
    return {"size": None, "smallest": data.cutter.smallest if data.cutter else 1}


def _preparation(data: ImageSets) -> Callable[[Tensor], Sets | Tensor]:
    cutter = data.cutter
    if cutter is None:
        return whole
    if cutter.min_contrast > 0:
        raise UserError("data.min_contrast leaves out patches by what they show")
    return cutter.cut_all if data.as_patches else lambda images_BHWC: cutter.cut_all(images_BHWC).as_vectors()
