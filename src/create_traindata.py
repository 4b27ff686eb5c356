"""Make a data set for anomaly detection of raw images.

python src/create_traindata.py good=<folder> anomaly=<folder> masks=<folder> output=<folder>
python src/create_traindata.py good=<folder> synthesize=true output=<folder>
python src/create_traindata.py check=<folder>

good=       good images, in subfolders or not
anomaly=    anomalous images; each subfolder is a kind of defect
masks=      where they are anomalous: files of the same names, or with _mask behind, in the same subfolders
input=      in place of the three: a data set like MVTec AD's or VisA's, whose splits are kept
output=     the new folder: train/good, test/good, test/<kind>, ground_truth/<kind>, manifest.csv
check=      print what is in a data set and what is wrong with it; nothing is written
size=256    pixels of a side, or height,width        fit=stretch, or letterbox, which keeps the proportions
region=left,top,right,bottom        take only that part of each image
tile=128    cut each image into squares of so many pixels
test_fraction=0.2                   of the good images
group=<regular expression>          files with the same match (its first group) are never in two splits
synthesize=true per_kind=20         without anomaly=: paint defects on good test images, with their masks
seed=0

Exit code: 0 all is well; 1 something is wrong with the images, all of it named; 2 a wrong word.
"""

import sys

from workbench.common.workspace import ROOT
from workbench.config.command import command

if __name__ == "__main__":
    sys.exit(
        command(
            __doc__ or "",
            "patchsets.traindata.create:create_or_check",
            ROOT / "config" / "create_traindata.yaml",
        )
    )
