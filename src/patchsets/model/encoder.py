"""Images as a network sees them that was trained on something else: a map of features, or one vector.

Shapes: B images, C channels, H x W pixels, D features, h x w places of the map, N tokens of a transformer.
"""

import hashlib
import inspect
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from workbench.common.errors import ConfigError

AT_ONCE = 64 * 224**2  # pixels that are encoded in one piece


class Encoder(nn.Module):
    """From images `[B, C, H, W]` in 0..1 to maps `[B, D, h, w]`, or by `vectors` to `[B, D]`.

    `module` is any torch module. The outputs of its `layers` (names as in `named_modules`; its own output
    where there are none), maps or the tokens of a transformer, are averaged over 3x3 places, brought to the
    first one's grid and joined (PatchCore, Roth et al. 2022). A vector is the mean over all places of `last`,
    of the same layers where none are named. `weights` is a local file that `torch.save` wrote of a state
    dict; nothing in it is executed. `mean` and `std` are of what the module was trained on, `channels` how
    many it takes: a grey image is given as that many equal ones. `size` is what the shorter side of all
    images is brought to, else `sizes` the least and the most it may have for a vector; maps are made of
    images as they are. `patch` is the side of a transformer's patches, of which each side becomes a multiple;
    `is_fixed` means that the module takes `size` x `size` pixels only.

    It never learns by itself, and stays in evaluation. Raises ConfigError where the file or a layer is
    missing, or the weights are another network's.
    """

    def __init__(
        self,
        module: nn.Module,
        weights: str | None = None,
        layers: list[str] | None = None,
        mean: list[float] | None = None,
        std: list[float] | None = None,
        channels: int = 3,
        size: int | None = None,
        sizes: list[int] | None = None,
        last: list[str] | None = None,
        patch: int | None = None,
        is_fixed: bool = False,
    ) -> None:
        super().__init__()
        self.module = module
        if weights is not None:
            load_local_weights(module, Path(weights))
        self.layers = layers or [""]
        self.last = last or self.layers
        self.channels, self.size, self.sizes = channels, size, sizes
        self.patch, self.is_fixed = patch, is_fixed
        takes = inspect.signature(module.forward).parameters
        self.options = {"interpolate_pos_encoding": True} if "interpolate_pos_encoding" in takes else {}
        self.description: dict[str, Any] = {}  # what it is rebuilt from, where a word says so
        self._check_layers()
        self.register_buffer("mean", torch.tensor(mean or [0.0]).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std or [1.0]).view(-1, 1, 1))
        self.mean: Tensor
        self.std: Tensor
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "Encoder":
        """Stay in evaluation: batch statistics and dropout never change a feature."""
        return super().train(False)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        images = self._prepared(images_BCHW, self.size)
        seen = [F.avg_pool2d(values, 3, 1, 1) for values in self._outputs(images, self.layers)]
        grid = seen[0].shape[-2:]
        return torch.cat([F.interpolate(each, grid, mode="bilinear") for each in seen], dim=1)

    def vectors(self, images_BCHW: Tensor, layers: Sequence[str]) -> Tensor:
        """Return the mean over all places of some layers `[B, D]`.

        Only so many images at once that thousands of patches need little memory, but in an exported graph.
        """
        if torch.compiler.is_exporting():
            return self._vectors(images_BCHW, layers)
        side = self._side(images_BCHW)
        chunks = images_BCHW.split(max(1, AT_ONCE // side**2))
        learns = torch.is_grad_enabled() and any(each.requires_grad for each in self.parameters())
        if learns and len(chunks) > 1:
            return torch.cat(
                [checkpoint(self._vectors, each, layers, use_reentrant=False) for each in chunks]
            )
        return torch.cat([self._vectors(each, layers) for each in chunks])

    def layer_names(self) -> list[str]:
        """Return the names that `layers` may have."""
        return [name for name, _ in self.module.named_modules() if name]

    def _vectors(self, images_BCHW: Tensor, layers: Sequence[str]) -> Tensor:
        images = self._prepared(images_BCHW, self._side(images_BCHW))
        seen = self._outputs(images, layers)
        return torch.cat([values.mean(dim=(2, 3)) for values in seen], dim=1)

    def identity(self) -> str:
        """Return a text that differs where what it sees would."""
        settings = (self.layers, self.last, self.channels, self.size, self.sizes, self.patch, self.is_fixed)
        module = hashlib.sha256(repr(self.module).encode()).hexdigest()
        return f"{settings} {module} {hash_of_weights(self)}"

    def _side(self, images_BCHW: Tensor) -> int:
        """Return the shorter side that images have for vectors."""
        side = min(images_BCHW.shape[-2:])
        least, most = self.sizes or (side, side)
        return self.size or min(max(side, least), most)

    def _prepared(self, images_BCHW: Tensor, size: int | None) -> Tensor:
        """Bring images to the channels, brightness and size that the module knows."""
        channels = images_BCHW.shape[1]
        images = images_BCHW.expand(-1, self.channels, -1, -1) if channels == 1 else images_BCHW
        images = (images - self.mean) / self.std
        height, width = images.shape[-2:]
        scale = 1.0 if size is None else size / min(height, width)
        step = self.patch or 1
        wanted = [max(step, math.ceil(round(side * scale) / step) * step) for side in (height, width)]
        if size is not None and self.is_fixed:
            wanted = [size, size]
        if wanted == [height, width]:
            return images
        is_smaller = wanted[0] < height or wanted[1] < width
        return F.interpolate(images, wanted, mode="bilinear", antialias=is_smaller)

    def _outputs(self, images: Tensor, layers: Sequence[str]) -> list[Tensor]:
        """Run the module and return what the layers gave, as maps."""
        given: dict[str, Any] = {}
        hooks = [
            self.module.get_submodule(name).register_forward_hook(
                lambda _module, _inputs, output, name=name: given.__setitem__(name, output)
            )
            for name in layers
        ]
        try:
            self.run(images)
        finally:
            for hook in hooks:
                hook.remove()
        return [self._as_map(given[name], images) for name in layers]

    def run(self, images: Tensor) -> Any:
        """Call the module."""
        return self.module(images, **self.options)

    def _as_map(self, output: Any, images: Tensor) -> Tensor:
        """Return a layer's output as a map; of tokens `[B, N, D]` the last ones are the places."""
        if not isinstance(output, Tensor):  # a tuple, or what transformers answer
            output = output.last_hidden_state if hasattr(output, "last_hidden_state") else output[0]
        if output.dim() == 3 and self.patch is not None:
            height, width = (side // self.patch for side in images.shape[-2:])
            return output[:, output.shape[1] - height * width :].mT.unflatten(2, (height, width))
        return output if output.dim() != 2 else output[:, :, None, None]

    def _check_layers(self) -> None:
        names = self.layer_names()
        for layer in {*self.layers, *self.last} - {""}:
            if layer not in names:
                raise ConfigError(f"model.encoder.layers: there is no {layer}; there is {_shown(names)}")


def _shown(names: Sequence[str]) -> str:
    """List names: a network that has hundreds is told by its blocks, the names that others begin with."""
    if len(names) <= 40:
        return ", ".join(names)
    inner = {name.rpartition(".")[0] for name in names} - {""}
    blocks = [name for name in names if name in inner or "." not in name]
    deepest = next(depth for depth in (3, 2, 1) if depth == 1 or _few(blocks, depth))
    return ", ".join(name for name in blocks if name.count(".") < deepest)


def _few(names: Sequence[str], depth: int) -> bool:
    return sum(name.count(".") < depth for name in names) <= 40


def hash_of_weights(module: nn.Module) -> str:
    """Return the SHA-256 of the names and bytes of a module's tensors."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def load_local_weights(module: nn.Module, path: Path) -> None:
    """Fill a module from a local file of plain tensors; ConfigError where it cannot be."""
    where = "model.encoder.weights"
    if not path.is_file():
        raise ConfigError(f"{where}: there is no file {path}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ConfigError(
            f"{where}: {path} is no file of plain tensors ({type(error).__name__}); "
            "write it with torch.save(module.state_dict(), path)"
        ) from error
    try:
        module.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        first = str(error).strip().splitlines()[-1].strip()
        raise ConfigError(f"{where}: {path} is another network's: {first}") from error


class Stages(Encoder):
    """An Encoder of a module that gives the maps of its `stages` by itself, one for each name."""

    def __init__(self, module: nn.Module, stages: list[str], **named: Any) -> None:
        self.stages = stages
        super().__init__(module, **named)

    def layer_names(self) -> list[str]:
        return self.stages

    def _outputs(self, images: Tensor, layers: Sequence[str]) -> list[Tensor]:
        given = self.run(images)
        maps = getattr(given, "feature_maps", given)
        return [maps[self.stages.index(name)] for name in layers]
