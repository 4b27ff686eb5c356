"""Hydra's stock completion, many lines in one process: lines come in on stdin, answers leave as JSON.

The query is Hydra's own, untouched; only what it loads is kept between lines with the same overrides.
"""

import json
import sys
from pathlib import Path
from typing import Any

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.bash_completion import BashCompletion
from hydra._internal.utils import create_config_search_path
from hydra.core.utils import JobRuntime, setup_globals


class Keeping:
    """A config loader that remembers its answers."""

    def __init__(self, loader: ConfigLoaderImpl) -> None:
        self.loader, self.kept = loader, {}

    def __getattr__(self, name: str) -> Any:
        def ask(**arguments: Any) -> Any:
            key = f"{name} {arguments}"
            if key not in self.kept:
                self.kept[key] = getattr(self.loader, name)(**arguments)
            return self.kept[key]

        return ask


def main() -> None:
    """Answer every line; a line that Hydra has only a traceback for has no candidates."""
    root = Path(sys.argv[1])
    sys.path.insert(0, str(root / "src"))
    from workbench.config import composition

    lines, sys.argv = json.load(sys.stdin), [str(root / "src/train.py"), "-sc", "query=fish"]
    setup_globals()
    composition.register()
    version.setbase("1.3")
    JobRuntime.instance().set("name", "train")
    loader = Keeping(ConfigLoaderImpl(create_config_search_path(str(root / "config"))))
    answers = {}
    for line in lines:
        try:
            answers[line] = BashCompletion(loader)._query("config", line)
        except Exception:
            answers[line] = []
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
