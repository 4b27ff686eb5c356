"""Judge images: loaded once, in batches, what was done before left as it is."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from workbench.common.errors import ConfigError
from workbench.common.workspace import typed
from workbench.models.answers import Answer, AnswerFile
from workbench.models.find import NamedModel, find_images, find_model
from workbench.models.heat_maps import has_heat, heat_map_name, write_heat
from workbench.portable.model import POOLINGS, Model
from workbench.portable.pixels import Unusable, pillow_is_quiet, read_image, shown

READ_AHEAD = 2  # batches


@dataclass
class Words:
    """The keys that may be typed, or stand in config/inference.yaml."""

    model: str | None = None
    input: str | None = None
    output: str | None = None
    threshold: float | None = None
    pooling: str | None = None
    heat_maps: bool = False
    batch_size: int = 16

    def check(self) -> None:
        """Raise ConfigError for what can be found wrong before anything is loaded."""
        for key in ("model", "input", "output"):
            if not getattr(self, key):
                raise ConfigError(f"{key}: missing; write input=<folder> output=<folder>")
        if self.batch_size < 1:
            raise ConfigError(f"batch_size: {self.batch_size} is not a number above 0")
        if self.pooling not in (None, *POOLINGS):
            raise ConfigError(f"pooling: there is no {self.pooling}; there is {', '.join(POOLINGS)}")


def predict(words: Words) -> int:
    """Judge all images and return the exit code: 0, or 1 where some could not be read."""
    words.check()
    files = {shown(path): path for path in find_images(str(words.input))}
    named = find_model(str(words.model))
    set_up(named.model, words)
    folder = Path(str(words.output)).expanduser()
    output = AnswerFile(
        folder, {"model": named.version, "threshold": words.threshold, "pooling": words.pooling}
    )
    output.forget([name for name, answer in output.done.items() if _is_open(name, answer, files, output)])
    missing = [name for name in files if name not in output.done]
    try:
        _judge(named, words, {name: files[name] for name in missing}, output)
    except KeyboardInterrupt:
        print(f"\ninterrupted with {len(output.done)} of {len(files)} images; the same command does the rest")
        raise
    answers = output.write_table(list(files))
    print(summary(answers, named, len(files) - len(missing), folder))
    return int(any("error" in answer for answer in answers))


def set_up(model: Model, words: Words) -> None:
    """Put what was typed in place of what the model decides by; ConfigError where it decides by neither."""
    if model.kind != "anomaly":
        for key in ("threshold", "pooling"):
            if getattr(words, key):
                raise ConfigError(f"{key}: this model finds no anomalies; it has no {key}")
    if words.heat_maps and not has_heat(model):
        raise ConfigError("heat_maps: this model finds no anomalies, and says of no patch how it weighs it")
    if words.pooling is not None:
        try:
            model.use_pooling(words.pooling)
        except ValueError as error:
            raise ConfigError(f"pooling: {error}") from error
    if words.threshold is not None:
        model.threshold = words.threshold


def _is_open(name: str, answer: Answer, files: dict[str, Path], output: AnswerFile) -> bool:
    """Tell whether an image is to be judged again: it could not be read, or has changed since."""
    if name not in files:
        return False
    changed = files[name].exists() and files[name].stat().st_mtime > output.answered_until
    return "error" in answer or changed


def _judge(named: NamedModel, words: Words, files: dict[str, Path], output: AnswerFile) -> None:
    names = list(files)
    batches = [names[start : start + words.batch_size] for start in range(0, len(names), words.batch_size)]
    with (
        pillow_is_quiet(),
        ThreadPoolExecutor() as pool,
        tqdm(total=len(names), unit="image", dynamic_ncols=True, disable=not names) as bar,
    ):
        begun = time.perf_counter()
        for batch, images in _read(batches, files, named.model, pool):
            rows = _answer(named, words, dict(zip(batch, images, strict=True)), output.folder)
            ended = time.perf_counter()
            milliseconds = round(1000 * (ended - begun) / len(batch), 3)
            output.write([{"path": name, **rows[name], "ms": milliseconds} for name in batch])
            bar.update(len(batch))
            begun = ended


def _read(
    batches: list[list[str]], files: dict[str, Path], model: Model, pool: ThreadPoolExecutor
) -> Iterator[tuple[list[str], list[np.ndarray | Unusable]]]:
    """Give each batch of names with its images, or why one is none; some batches are read ahead."""
    coming: list[list[Future[np.ndarray | Unusable]]] = []
    try:
        for number, batch in enumerate(batches):
            for ahead in batches[number + len(coming) : number + 1 + READ_AHEAD]:
                coming.append([pool.submit(_try, files[name], model.preprocessing) for name in ahead])
            yield batch, [future.result() for future in coming.pop(0)]
    finally:
        pool.shutdown(cancel_futures=True)


def _try(path: Path, preprocessing: dict[str, Any]) -> np.ndarray | Unusable:
    try:
        return read_image(path, preprocessing)
    except Unusable as reason:
        return reason


def _answer(
    named: NamedModel, words: Words, images: dict[str, np.ndarray | Unusable], folder: Path
) -> dict[str, Answer]:
    """Return what is said of each image of a batch, by name; those of one shape are judged together."""
    rows: dict[str, Answer] = {
        name: {"error": str(image), "model": named.version}
        for name, image in images.items()
        if isinstance(image, Unusable)
    }
    readable = {name: image for name, image in images.items() if isinstance(image, np.ndarray)}
    for shape in dict.fromkeys(image.shape for image in readable.values()):
        same = [name for name, image in readable.items() if image.shape == shape]
        stacked = np.stack([readable[name] for name in same])
        answers = named.model(stacked)
        for place, (name, row) in enumerate(zip(same, named.model.rows(answers), strict=True)):
            rows[name] = {**row, "model": named.version}
            if words.heat_maps:
                path = folder / "heat_maps" / heat_map_name(name, str(words.input))
                rows[name] |= write_heat(path, named.model, stacked[place], answers, place)
    return rows


def summary(answers: Sequence[Answer], named: NamedModel, before: int, folder: Path) -> str:
    """Return the last lines: how many of what, how fast, what could not be read, where it all is."""
    bad = [answer for answer in answers if "error" in answer]
    judged = [answer for answer in answers if "error" not in answer]
    counts = _counts(judged, named.model)
    speed = f"{np.median([answer['ms'] for answer in judged]):.1f} ms each" if judged else ""
    earlier = f"{before} of them before" if before else ""
    lines = [
        f"\n{len(judged)} images by {named.version}: {', '.join(filter(None, (counts, speed, earlier)))}"
    ]
    lines += [f"{len(bad)} could not be read:"] * bool(bad)
    lines += [f"  {answer['path']}: {answer['error']}" for answer in bad]
    return "\n".join([*lines, f"{typed(folder / 'predictions.csv')} and .jsonl hold every answer"])


def _counts(judged: Sequence[Answer], model: Model) -> str:
    if model.kind == "anomaly":
        return f"{sum(answer['is_anomaly'] for answer in judged)} anomalies"
    said = [str(answer.get("class", answer.get("labels", ""))).split(";") for answer in judged]
    classes = [name for names in said for name in names]
    return ", ".join(f"{name}: {classes.count(name)}" for name in model.classes if name in classes)
