"""The name of version 0.1 for `workbench.models.load`, which notebooks may still use."""

from workbench.models.load import load_model

__all__ = ["load_model"]
