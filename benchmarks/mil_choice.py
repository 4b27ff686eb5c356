"""How the epochs of config/data/mil.yaml were chosen: by validation inside the training folds alone.

python benchmarks/mil_choice.py musk1.npz fox.npz        about two minutes of one core

In each of the ten folds of repetition 0 a fifth of the training bags is held out. The candidate with the
highest mean accuracy on these over folds and files is taken, one for all files. No test bag of a fold is
looked at in that fold.
"""

import statistics
import sys

import torch
import torch.nn.functional as F
from timing import print_table

from patchsets.data.mil import MilFile
from patchsets.model.abmil import Abmil
from patchsets.set_module import Sets

FOLDS = 10
BATCH, RATE, DECAY, MOMENTUM = 8, 4e-3, 5e-3, 0.9  # of Ilse et al. (2018), for 8 bags in place of one
EPOCHS = [20, 40, 100]


def main() -> None:
    """Print the validation accuracy of every candidate on every file."""
    torch.set_num_threads(1)
    files, rows = sys.argv[1:], []
    for epochs in EPOCHS:
        means = [statistics.mean(accuracy(file, fold, epochs) for fold in range(FOLDS)) for file in files]
        rows.append([str(epochs), *(f"{mean:.3f}" for mean in [*means, statistics.mean(means)])])
    print_table("Accuracy on a fifth of the training bags", ["epochs", *files, "mean"], rows)


def accuracy(file: str, fold: int, epochs: int) -> float:
    """Train on four fifths of a fold's training bags, and return the accuracy on the others."""
    data = MilFile(BATCH, fold, file, fold, val_fraction=0.2)
    data.setup()
    torch.manual_seed(fold)
    network = Abmil(data.num_features, 2, [256, 128, 64])
    optimizer = torch.optim.SGD(network.parameters(), RATE, MOMENTUM, weight_decay=DECAY)
    train, val = data.splits["train"], data.splits["val"]
    for _ in range(epochs):
        for rows in torch.randperm(len(train.label)).split(BATCH):
            bags = train.take(rows)
            loss = F.cross_entropy(network(Sets(bags.values, bags.lengths)), bags.label)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    network.eval()
    with torch.no_grad():
        answer = network(Sets(val.values, val.lengths)).argmax(1)
    return float((answer == val.label).float().mean())


if __name__ == "__main__":
    main()
