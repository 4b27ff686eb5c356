"""ONNX: the model with pre-processing and threshold inside, checked before the file gets its name."""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from workbench.common.errors import ConfigError, UserError, need_extra
from workbench.common.files import appearing_whole
from workbench.common.workspace import typed
from workbench.models.load import with_model
from workbench.portable.archive import DESCRIPTION, load_program
from workbench.portable.model import Model, load_model
from workbench.run.folder import find_folder
from workbench.train.export import example_images

TOLERANCE = 1e-5  # largest difference of a probability; of a score, whose scale is its own, as a share of it
CHECKED = {"anomaly": ("score", "p_value"), "classification": ("probability",)}
CHECKED |= {"multilabel": ("probability",), "regression": ("value",)}
BATCHES = (1, 2, 5)  # images at once, to be compared


def export_onnx(model_folder: Path, target: Path) -> float:
    """Write the model of a run as ONNX, and return by how much its answers differ at most from torch's.

    Raises UserError where they differ by more than 1e-5 (a score: of its size), and where ONNX cannot say it;
    `target` is then left as it is.
    """
    for module in ("onnxscript", "onnxruntime"):
        need_extra(module, "onnx", f"output={target.name}")
    expected = load_model(model_folder)
    with appearing_whole(target) as temporary:
        named = temporary.with_suffix(".onnx")
        try:
            _write(model_folder / "model.pt2", named, expected)
            difference = largest_difference(expected, load_model(named))
            if not difference <= TOLERANCE:
                raise UserError(
                    f"output: ONNX Runtime answers differ from torch's by {difference:.2g}, more than "
                    f"{TOLERANCE:g}; {target} is not written"
                )
            named.replace(temporary)
        finally:
            named.unlink(missing_ok=True)
    return difference


def _write(source: Path, target: Path, model: Model) -> None:
    program, _ = load_program(source)
    names = list(model(example_images(model.preprocessing, 1).numpy()))
    try:
        with warnings.catch_warnings(), _silent_exporter():
            warnings.simplefilter("ignore")  # torch's own code warns of itself
            written = torch.onnx.export(program, input_names=["images"], output_names=names, verbose=False)
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"run: this model cannot be said in ONNX ({type(error).__name__}: {reason})"
        ) from error
    assert written is not None
    written.model.metadata_props[DESCRIPTION] = json.dumps(model.description)
    written.save(target)


def largest_difference(expected: Model, found: Model) -> float:
    """Return the largest difference of any checked answer, over several batches; NaN where one is NaN."""
    differences = []
    for number in BATCHES:
        images_BHWC = example_images(expected.preprocessing, number).numpy()
        ours, theirs = expected(images_BHWC), found(images_BHWC)
        for name in CHECKED[expected.kind]:
            unit = (abs(ours[name]).max() if name == "score" else 0.0) or 1.0
            differences.append(abs(ours[name] - theirs[name]).max() / unit)
    return float(np.max(differences))


@contextmanager
def _silent_exporter() -> Iterator[None]:
    """Keep the exporter from telling which libraries it could have used."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    yield
    log.setLevel(level)


@dataclass
class Words:
    """The keys that may be typed."""

    run: str | None = None
    output: str | None = None


def export(words: Words) -> int:
    """Write the model of a run as ONNX; raise ConfigError for a wrong word, UserError where it cannot be."""
    if not words.run or not words.output:
        raise ConfigError("write run=<run folder> output=<file>.onnx")
    target = Path(words.output).expanduser()
    if target.suffix != ".onnx":
        raise ConfigError(f"output: {target} does not end in .onnx")
    if not target.parent.is_dir():
        raise ConfigError(f"output: there is no folder {target.parent}")
    model = with_model(find_folder(words.run, "run"))

    difference = export_onnx(model, target)
    megabytes = target.stat().st_size / 1e6
    print(f"{typed(target)}: {megabytes:.1f} MB, answers within {difference:.1g} of torch's")
    return 0
