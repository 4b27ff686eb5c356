"""Start of a TAB: python -I -S -X pycache_prefix=FOLDER tab.py SHELL PROCESS SCRIPT LINE WORD_BREAKS."""

import sys

sys.path.insert(0, __file__.rsplit("/", 3)[0])

from workbench.completion import client

client.main()
