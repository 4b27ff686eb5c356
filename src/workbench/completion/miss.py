"""A TAB that the cache cannot answer: python -P -B miss.py BYTECODE_FOLDER, and what tab.py was given."""

import gc
import importlib
import os
import sys

gc.disable()  # this process is short
SOURCE, BYTECODE = __file__.rsplit("/", 3)[0], sys.argv.pop(1)
WORKSPACE_PYTHON = SOURCE.removesuffix("src") + ".venv/bin/python"

try:
    importlib.import_module("hydra.main")
except ModuleNotFoundError:  # not the workspace's environment: ask that one, if it is where `make` puts it
    if sys.executable != WORKSPACE_PYTHON and os.access(WORKSPACE_PYTHON, os.X_OK):
        options = ["-I", "-S", "-X", f"pycache_prefix={BYTECODE}", SOURCE + "/workbench/completion/tab.py"]
        os.execv(WORKSPACE_PYTHON, [WORKSPACE_PYTHON, *options, *sys.argv[1:]])
    sys.exit()

# Hydra's modules are compiled already; ours are compiled into the cache folder.
sys.pycache_prefix, sys.dont_write_bytecode = BYTECODE or None, not BYTECODE
sys.path.insert(0, SOURCE)
importlib.import_module("workbench.completion.engine").main()
