"""What MLflow loads and `mlflow models serve` answers with: base64 images in, a row for each out."""

import base64
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .model import Model, load_model
from .pixels import Unusable, open_image, pillow_is_quiet, read_image

if TYPE_CHECKING:
    from pandas import DataFrame


LARGEST, TOGETHER = 25.0, 100.0  # millions of pixels of an image, and of all of a request


def _load_pyfunc(path: str) -> "Served":
    """Load the folder a model was logged from; MLflow looks for this name."""
    return Served(load_model(Path(path)))


class Served:
    """A model as MLflow's Python function."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def predict(self, frame: "DataFrame", params: dict[str, Any] | None = None) -> "DataFrame":
        """Answer each base64 PNG or JPEG of the column `image`; `params` may hold another threshold.

        Raises MlflowException for what cannot be used: a server answers anything else by its traceback.
        """
        from mlflow.exceptions import MlflowException
        from pandas import DataFrame

        threshold = (params or {}).get("threshold")
        try:
            with pillow_is_quiet():
                contents = [_told(number, decoded, text) for number, text in enumerate(frame["image"])]
                _check_together(contents)
                rows = [
                    row
                    for number, content in enumerate(contents)
                    for row in _told(number, self._rows, content, threshold)
                ]
        except Unusable as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None
        return DataFrame(rows)

    def _rows(self, content: bytes, threshold: float | None) -> list[dict[str, Any]]:
        """Judge one image: their sizes may differ, and one alone is in memory."""
        image = read_image(BytesIO(content), self.model.preprocessing, LARGEST)
        try:
            return self.model.rows(self.model(image[None], threshold), threshold)
        except Exception as error:  # of torch, for a size that the graph does not take
            height, width = image.shape[:2]
            raise Unusable(f"the model takes no images of {width}x{height} pixels") from error


def _told(number: int, act: Callable[..., Any], *arguments: Any) -> Any:
    """Do something with an image, and say which it is where it cannot be used."""
    try:
        return act(*arguments)
    except Unusable as error:
        raise Unusable(f"image {number}: {error}") from error


def _check_together(contents: list[bytes]) -> None:
    pixels = sum(_told(number, megapixels, content) for number, content in enumerate(contents))
    if pixels > TOGETHER:
        raise Unusable(
            f"they have {pixels:.0f} million pixels together, more than {TOGETHER:g}: send fewer at once"
        )


def megapixels(content: bytes) -> float:
    """Return how many million pixels an image has, by its first bytes."""
    with open_image(BytesIO(content), LARGEST) as image:
        return image.width * image.height / 1e6


def decoded(text: Any) -> bytes:
    """Return the bytes of an image as base64; a `data:image/png;base64,` before it is allowed."""
    try:
        return base64.b64decode(text.rpartition(",")[2], validate=True)
    except (AttributeError, ValueError) as error:  # no text, no ASCII, or no base64
        raise Unusable("it is not base64") from error
