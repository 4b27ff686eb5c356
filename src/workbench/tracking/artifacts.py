"""The files of a run folder that a tracker may have, secrets blanked."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from workbench.common.redaction import redact
from workbench.run.trial import is_trial

APART = ("tensorboard", "csv", "model")  # other trackers' files, and what is logged as a model
LEFT_OUT = ("trackers.json", "checkpoints/last.ckpt")  # the last checkpoint is for resuming, here


def artifacts(folder: Path, pattern: str = "*") -> Iterator[tuple[Path, str]]:
    """Give each file worth keeping with the folder it belongs to, relative to the run folder ("" at its top).

    A text that holds a secret is given as a blanked copy, which lives until the next file is asked for.
    """
    for path in sorted(folder.rglob(pattern)):
        relative = path.relative_to(folder)
        if path.is_file() and _is_kept(relative) and not _is_of_a_trial(folder, relative):
            parent = "" if relative.parent == Path() else relative.parent.as_posix()
            with TemporaryDirectory() as copies:
                yield _without_secrets(path, Path(copies)), parent


def _is_kept(relative: Path) -> bool:
    hidden = any(part.startswith(".") for part in relative.parts)
    return not hidden and relative.parts[0] not in APART and relative.as_posix() not in LEFT_OUT


def _is_of_a_trial(folder: Path, relative: Path) -> bool:
    """Tell whether a file of a sweep's folder is in a run folder, which is a run of its own."""
    return is_trial(folder / relative.parts[0])


def _without_secrets(path: Path, copies: Path) -> Path:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:  # a picture, a checkpoint
        return path
    blanked = redact(text)
    if blanked == text:
        return path
    copy = copies / path.name
    copy.write_text(blanked, encoding="utf-8")
    return copy
