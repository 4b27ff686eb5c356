"""What a script says to `hydra.main`, read from its source."""

import ast
from collections.abc import Mapping
from pathlib import Path

from hydra._internal.utils import compute_search_path_dir

ARGUMENTS = ("config_path", "config_name", "version_base")


class Script:
    """Where the configuration of a script is, by its decorator and by the flags that were typed."""

    def __init__(self, path: Path, arguments: Mapping[str, str | None], flags: Mapping[str, str]) -> None:
        self.path = path
        config_path = flags.get("--config-path") or arguments.get("config_path")
        self.config_directory = compute_search_path_dir(str(path), None, config_path)
        self.config_name = flags.get("--config-name") or arguments.get("config_name")
        self.extra_directory = flags.get("--config-dir")
        self.version_base = arguments.get("version_base", "1.1")


def read_script(path: Path, flags: Mapping[str, str]) -> Script | None:
    """Read the first call of `hydra.main` in a script; None where there is none that can be read."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "hydra.main":
            named = {keyword.arg or "": keyword.value for keyword in node.keywords}
            values = dict(zip(ARGUMENTS, node.args, strict=False)) | named
            try:
                arguments = {name: ast.literal_eval(value) for name, value in values.items()}
            except ValueError:
                return None
            return Script(path, arguments, flags)
    return None
