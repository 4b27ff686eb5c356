"""The patches of an image as a network sees them that was trained on something else.

Shapes: B images, C channels, H x W pixels, D features, h x w places of the patch grid.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.common.errors import ConfigError


class Backbone(nn.Module):
    """Describe patches by what a network sees in them: `[B, C, H, W]` to `[B, D, h, w]`.

    `module` is any torch module; the outputs `[B, D, h, w]` of its `layers` (names as in `named_modules`; its
    own output where there are none) are averaged over 3x3 places, brought to the first one's grid and joined
    (PatchCore, Roth et al. 2022). `weights` is a local file that `torch.save` wrote of a state dict; nothing
    is ever downloaded, and nothing in the file is executed. `mean` and `std` are of what it was trained
    on, `channels` how many it takes: a grey image is given as so many equal ones.

    Raises ConfigError where the file or a layer is missing, or the weights are another network's.
    """

    def __init__(
        self,
        module: nn.Module,
        weights: str | None = None,
        layers: list[str] | None = None,
        mean: list[float] | None = None,
        std: list[float] | None = None,
        channels: int = 3,
    ) -> None:
        super().__init__()
        self.module = module
        if weights is not None:
            load_local_weights(module, Path(weights))
        self.layers = layers or [""]
        self.channels = channels
        _check_layers(module, self.layers)
        self.register_buffer("mean", torch.tensor(mean or [0.0]).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std or [1.0]).view(-1, 1, 1))
        self.mean: Tensor
        self.std: Tensor
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "Backbone":
        """Stay as it was trained: batch statistics and dropout never change a feature."""
        return super().train(False)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        images = images_BCHW.expand(-1, max(images_BCHW.shape[1], self.channels), -1, -1)
        seen = [F.avg_pool2d(values, 3, 1, 1) for values in self._outputs((images - self.mean) / self.std)]
        grid = seen[0].shape[-2:]
        return torch.cat([F.interpolate(s, grid, mode="bilinear") for s in seen], dim=1)

    def _outputs(self, images: Tensor) -> list[Tensor]:
        """Run the network and return what its chosen layers gave."""
        given: dict[str, Tensor] = {}
        hooks = [
            self.module.get_submodule(name).register_forward_hook(
                lambda _module, _inputs, output, name=name: given.__setitem__(name, output)
            )
            for name in self.layers
        ]
        try:
            self.module(images)
        finally:
            for hook in hooks:
                hook.remove()
        return [given[name] for name in self.layers]


def load_local_weights(module: nn.Module, path: Path) -> None:
    """Fill a module from a local file of plain tensors; ConfigError where it cannot be."""
    if not path.is_file():
        raise ConfigError(f"model.features.weights: there is no file {path}; nothing is ever downloaded")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ConfigError(
            f"model.features.weights: {path} is no file of plain tensors ({type(error).__name__}); "
            "write it with torch.save(module.state_dict(), path)"
        ) from error
    try:
        module.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        first = str(error).strip().splitlines()[-1].strip()
        raise ConfigError(f"model.features.weights: {path} is another network's: {first}") from error


def _check_layers(module: nn.Module, layers: list[str]) -> None:
    names = [name for name, _ in module.named_modules()]
    for layer in layers:
        if layer not in names:
            there = ", ".join(name for name in names if name and "." not in name)
            raise ConfigError(f"model.features.layers: there is no {layer}; there is {there}")
