"""Keeps tokens and passwords of the environment out of everything that is written or sent."""

import os
import re

from workbench.common.workspace import read_env

BLANK = "***"
SHORTEST = 6  # a shorter value occurs by chance: blanking it would spoil honest text
SECRET_NAME = re.compile(r"token|secret|passw|api_?key|credential", re.IGNORECASE)


def is_secret_name(key: str) -> bool:
    """Tell whether a key or variable is named like one that holds a secret."""
    return SECRET_NAME.search(key) is not None


def secret_values() -> list[str]:
    """Return the secrets of the environment and of `.env`, longest first."""
    variables = [*read_env().items(), *os.environ.items()]
    values = {value for name, value in variables if is_secret_name(name) and len(value) >= SHORTEST}
    return sorted(values, key=len, reverse=True)


def redact(text: str) -> str:
    """Return the text with every secret of the environment blanked."""
    for value in secret_values():
        text = text.replace(value, BLANK)
    return text
