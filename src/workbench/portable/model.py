"""A deployed model: uint8 images in, named arrays out, from a torch export or ONNX.

Shapes: B images, H, W pixels, C classes, P pixels of a map.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .archive import DESCRIPTION, Refused, load_program

TOP_SHARE = 0.01  # of the pixels, whose mean is the pooling "top1"
POOLINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean": lambda pixels_BP: pixels_BP.mean(axis=1),
    "max": lambda pixels_BP: pixels_BP.max(axis=1),
    "top1": lambda pixels_BP: np.sort(pixels_BP, axis=1)[:, -_highest(pixels_BP) :].mean(axis=1),
}

Answers = dict[str, np.ndarray]


class Model:
    """Answers for images `[B, H, W, 3]` uint8 that `read_image` prepared by `preprocessing`.

    kind "classification" and "multilabel": `probability` `[B, C]`. kind "regression": `value` `[B, C]`.
    Where the description has a `patch_size`, also what the model looks at: `attention` `[B, N]` of N patches,
    adding up to 1, and their top-left pixels (y, x), `position` `[N, 2]`.
    kind "anomaly": `score` `[B]`, `p_value` `[B]` (how rare such a score is among good images), `is_anomaly`
    `[B]`, `map` `[B, H, W]`; decided at `threshold`, which may be changed.
    """

    def __init__(self, run: Callable[[np.ndarray], Answers], description: dict[str, Any]) -> None:
        self._run = run
        self.description = description
        self.kind: str = description["kind"]
        self.preprocessing: dict[str, Any] = description["preprocessing"]
        self.classes: list[str] = description.get("classes", [])
        self.threshold: float | None = description.get("threshold")
        self.pooling: str | None = description.get("pooling")
        self._calibration: np.ndarray | None = None  # of another pooling than the deployed one

    def use_pooling(self, pooling: str) -> None:
        """Score by another pooling of the map, with the threshold and the calibration that belong to it.

        Raises ValueError where the model knows none: its threshold was given as a number.
        """
        if pooling == self.description.get("pooling"):
            return
        chosen = self.description.get("poolings", {}).get(pooling)
        if chosen is None:
            known = ", ".join([*self.description.get("poolings", {}), str(self.pooling)])
            raise ValueError(f"the model knows no threshold for the pooling {pooling}, only for {known}")
        self.pooling, self.threshold = pooling, chosen["threshold"]
        self._calibration = np.array(chosen["calibration"])

    def __call__(self, images_BHWC: np.ndarray, threshold: float | None = None) -> Answers:
        answers = self._run(images_BHWC)
        if self.kind == "anomaly":
            if self._calibration is not None:
                answers |= self._score_anew(answers["map"], self._calibration)
            answers["is_anomaly"] = answers["score"] > (self.threshold if threshold is None else threshold)
        return answers

    def _score_anew(self, map_BHW: np.ndarray, calibration_n: np.ndarray) -> Answers:
        score_B = POOLINGS[str(self.pooling)](map_BHW.reshape(len(map_BHW), -1))
        as_high_or_higher_B = (calibration_n >= score_B[:, None]).sum(axis=1)
        return {"score": score_B, "p_value": (1 + as_high_or_higher_B) / (1 + len(calibration_n))}

    def rows(self, answers: Answers, threshold: float | None = None) -> list[dict[str, Any]]:
        """Return what is said of each image, as plain values by name."""
        if self.kind == "classification":
            return [self._class_row(probability_C) for probability_C in answers["probability"]]
        if self.kind == "multilabel":
            return [self._label_row(probability_C) for probability_C in answers["probability"]]
        if self.kind == "regression":
            return [dict(zip(self.classes, map(float, value_C), strict=True)) for value_C in answers["value"]]
        used = self.threshold if threshold is None else threshold
        columns = zip(answers["score"], answers["p_value"], answers["is_anomaly"], strict=True)
        return [
            {"score": float(score), "p_value": float(p), "threshold": used, "is_anomaly": bool(flag)}
            for score, p, flag in columns
        ]

    def _class_row(self, probability_C: np.ndarray) -> dict[str, Any]:
        surest = int(probability_C.argmax())
        return {"class": self.classes[surest], "probability": float(probability_C[surest])}

    def _label_row(self, probability_C: np.ndarray) -> dict[str, Any]:
        named = dict(zip(self.classes, map(float, probability_C), strict=True))
        labels = ";".join(name for name, probability in named.items() if probability > 0.5)
        return {"labels": labels} | {f"probability of {name}": value for name, value in named.items()}


def _highest(pixels_BP: np.ndarray) -> int:
    return max(1, round(TOP_SHARE * pixels_BP.shape[1]))


def load_model(path: Path) -> Model:
    """Load a `.pt2` or `.onnx` file, or the folder with `model.pt2`.

    Raises ValueError where it is neither, or is damaged, or does not say what it answers; and where it holds
    what could run code here (see archive.py), so that anybody's may be tried.
    """
    file = path / "model.pt2" if path.is_dir() else path
    loaders = {".pt2": _load_torch, ".onnx": _load_onnx}
    if file.suffix not in loaders:
        raise ValueError(f"{file} ends neither in .pt2 nor in .onnx")
    try:
        run, description = loaders[file.suffix](file)
        if description:
            return Model(run, json.loads(description))
    except Refused as error:
        raise ValueError(f"{file} is not loaded: {error}") from error
    except Exception as error:  # a damaged file raises what its reader likes
        raise ValueError(f"{file} cannot be read ({type(error).__name__}); is it damaged?") from error
    raise ValueError(f"{file} does not say what it answers: it was not written by this workspace")


def _load_torch(path: Path) -> tuple[Callable[[np.ndarray], Answers], str]:
    import torch

    program, description = load_program(path)
    module = program.module()

    def run(images_BHWC: np.ndarray) -> Answers:
        with torch.inference_mode():
            answers = module(torch.from_numpy(images_BHWC))
        return {name: tensor.numpy() for name, tensor in answers.items()}

    return run, description


def _load_onnx(path: Path) -> tuple[Callable[[np.ndarray], Answers], str]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    (images,) = session.get_inputs()

    def run(images_BHWC: np.ndarray) -> Answers:
        return dict(zip(names, session.run(names, {images.name: images_BHWC}), strict=True))

    return run, session.get_modelmeta().custom_metadata_map.get(DESCRIPTION, "")
