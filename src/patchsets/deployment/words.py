"""What export.py is told, and what it does."""

from dataclasses import dataclass
from pathlib import Path

from patchsets.closing import typed
from patchsets.deployment.later import with_model
from patchsets.errors import ConfigError
from patchsets.run import find_folder


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
    from patchsets.deployment.onnx import export_onnx

    difference = export_onnx(model, target)
    megabytes = target.stat().st_size / 1e6
    print(f"{typed(target)}: {megabytes:.1f} MB, answers within {difference:.1g} of torch's")
    return 0
