"""What MLflow loads and `mlflow models serve` answers with: base64 images in, a row for each out."""

import base64
import binascii
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .model import Model, load_model
from .pixels import Unusable, pillow_warns_of_bombs_alone, read_image

if TYPE_CHECKING:
    from pandas import DataFrame


def _load_pyfunc(path: str) -> "Served":
    """Load the folder a model was logged from; MLflow looks for this name."""
    return Served(load_model(Path(path)))


class Served:
    """A model as MLflow's Python function."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def predict(self, frame: "DataFrame", params: dict[str, Any] | None = None) -> "DataFrame":
        """Answer each base64 PNG or JPEG of the column `image`; `params` may hold another threshold.

        Raises MlflowException for one that cannot be used: a server answers anything else by its traceback.
        """
        from pandas import DataFrame

        threshold = (params or {}).get("threshold")
        with pillow_warns_of_bombs_alone():
            images = [self._read(number, text) for number, text in enumerate(frame["image"])]
        answers = (self.model(image[None], threshold) for image in images)  # their sizes may differ
        return DataFrame([row for answer in answers for row in self.model.rows(answer, threshold)])

    def _read(self, number: int, text: str) -> np.ndarray:
        from mlflow.exceptions import MlflowException

        try:
            return read_base64(text, self.model.preprocessing)
        except Unusable as error:
            raise MlflowException.invalid_parameter_value(f"image {number}: {error}") from None


def read_base64(text: str, preprocessing: dict[str, Any]) -> np.ndarray:
    """Read one image `[H, W, 3]`; a `data:image/png;base64,` before it is allowed."""
    try:
        content = base64.b64decode(text.rpartition(",")[2], validate=True)
    except binascii.Error as error:
        raise Unusable("it is not base64") from error
    return read_image(BytesIO(content), preprocessing)
