"""Let a trained model judge images.

python src/inference.py model=models:/kinoko@champion input=<folder> output=<folder>

model=      models:/<name>@<alias> or models:/<name>/<version>, a run folder, or a .pt2 or .onnx file
input=      a folder, a pattern such as 'images/*.png', or a .txt or .csv file with a path in each line
output=     folder for predictions.csv and predictions.jsonl; with heat_maps=true also heat_maps/*.png
threshold=  in place of the model's own        pooling=  mean, max or top1 in place of the model's own
batch_size=16

Exit code: 0 all images judged; 1 some were unreadable (they are named, the rest is done); 2 a wrong word;
130 interrupted. The same command again does what is missing.
"""

import sys

from workbench.common.workspace import ROOT
from workbench.config.command import command

if __name__ == "__main__":
    sys.exit(command(__doc__ or "", "workbench.models.infer:predict", ROOT / "config" / "inference.yaml"))
