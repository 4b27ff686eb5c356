"""`<run folder>/model/`: the trained task in torch's export format, which is used without this workspace."""

import json
import logging
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from workbench.common.errors import UserError
from workbench.common.files import write_json
from workbench.common.private_parts import sizes_of_one_are_like_any
from workbench.common.workspace import version
from workbench.portable.archive import DESCRIPTION, plain_copy

if TYPE_CHECKING:
    from workbench.train.base import RunTask

PACKAGES = ("torch", "numpy", "pillow")

log = logging.getLogger(__name__)


def deploy(task: "RunTask", folder: Path) -> str:
    """Write the task's model into its run folder; return why that failed, in one line, or nothing."""
    try:
        write_task(task, folder)
    except UserError as error:
        log.exception("model/ is not written", extra={"only_in_file": True})
        return str(error)
    return ""


def write_task(task: "RunTask", folder: Path) -> bool:
    """Write `<run folder>/model/`, and return whether the task has a model that judges images.

    Raises UserError where it cannot be written.
    """
    try:
        deployable = task.deployable()
        if deployable is not None:
            module, description = deployable
            write_model(module, description | {"run": folder.name}, folder)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"model/ is not written: {reason} (the weights are in checkpoints/)") from error
    return deployable is not None


def write_model(module: nn.Module, description: Mapping[str, Any], folder: Path) -> Path:
    """Write `<folder>/model/` with model.pt2, which holds the description too, and model.json.

    The module takes images `[B, H, W, 3]` uint8 and gives named tensors. A reader sees the earlier folder,
    none, or the whole new one. Raises ValueError where the module calls what loading refuses.
    """
    versions = {"patchsets": version(), **{name: metadata.version(name) for name in PACKAGES}}
    described = {**description, "versions": versions}
    program = exported(module, described["preprocessing"])
    new, model, old = (folder / name for name in (".model.new", "model", ".model.old"))
    for left_over in (new, old):  # of a process that was killed
        shutil.rmtree(left_over, ignore_errors=True)
    new.mkdir()
    torch.export.save(program, new / "model.pt2", extra_files={DESCRIPTION: json.dumps(described)})
    plain_copy(new / "model.pt2")  # or nobody could load it
    write_json(new / DESCRIPTION, described)
    if model.exists():
        model.replace(old)
    new.replace(model)
    shutil.rmtree(old, ignore_errors=True)
    return model


def exported(module: nn.Module, preprocessing: Mapping[str, Any]) -> ExportedProgram:
    """Trace the module as it works in evaluation, on the CPU, for any number of images.

    Images have the one size that preprocessing brings them to; where it leaves them as they are, any.
    """
    example = example_images(preprocessing)
    free = (0,) if preprocessing.get("size") else (0, 1, 2)
    shapes = (dict.fromkeys(free, Dim.DYNAMIC),)
    with _for_use(module), sizes_of_one_are_like_any(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own code warns of itself
        return torch.export.export(module, (example,), dynamic_shapes=shapes)


def example_images(preprocessing: Mapping[str, Any], number: int = 2) -> Tensor:
    """Return noise `[number, H, W, 3]` of a size that the module takes; one alone would fix the number."""
    size = preprocessing.get("size") or 4 * preprocessing["smallest"]
    height, width = (size, size) if isinstance(size, int) else size
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (number, height, width, 3), dtype=torch.uint8, generator=generator)


@contextmanager
def _for_use(module: nn.Module) -> Iterator[None]:
    """Bring the module to the CPU and into evaluation, and back: the device would be part of the graph."""
    devices = {tensor.device for tensor in (*module.parameters(), *module.buffers())}
    modes = {part: part.training for part in module.modules()}
    module.cpu().eval()
    with torch.no_grad():
        yield
    for part, training in modes.items():
        part.training = training
    if len(devices) == 1:
        module.to(devices.pop())
