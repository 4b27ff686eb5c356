"""Where a user's images lie."""

from pathlib import Path

from patchsets.errors import ConfigError


def data_root(root: str | None) -> Path:
    """Return the folder that holds the images; raise ConfigError where none was named."""
    if not root:
        raise ConfigError("data.root: say which folder holds the images: data.root=... or DATASET=...")
    return Path(root).expanduser()
