"""Write the model of a run as ONNX, with pre-processing and threshold inside.

python src/export.py run=<run folder> output=model.onnx

The file gets its name once ONNX Runtime has answered as torch does, to 1e-5 (a score: of its size).
inference.py takes it as model=.
"""

import sys

from workbench.config.command import command

if __name__ == "__main__":
    sys.exit(command(__doc__ or "", "workbench.models.onnx:export"))
