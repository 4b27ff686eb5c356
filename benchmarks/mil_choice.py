"""How the hyper-parameters of config/data/mil.yaml were chosen: by validation inside the training folds.

python benchmarks/mil_choice.py musk1.npz fox.npz        about five minutes of one core

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
from patchsets.model.attention_pool import AttentionPool
from patchsets.set_module import Sets

FOLDS = 10
# learning rate, weight decay, batch size, epochs, width, depth; all with AdamW, a cosine and dropout 0.5
CANDIDATES = [
    (5e-4, 0.01, 8, 20, 64, 2),
    (5e-4, 0.01, 8, 40, 64, 2),
    (1e-3, 0.01, 8, 40, 64, 2),
    (5e-4, 0.01, 8, 80, 64, 2),
    (5e-4, 0.01, 8, 60, 64, 1),
    (5e-4, 0.01, 8, 40, 128, 2),
    (5e-4, 0.1, 4, 40, 64, 2),
]


def main() -> None:
    """Print the validation accuracy of every candidate on every file."""
    torch.set_num_threads(1)
    files, rows = sys.argv[1:], []
    for candidate in CANDIDATES:
        means = [statistics.mean(accuracy(file, fold, *candidate) for fold in range(FOLDS)) for file in files]
        rows.append([*map(str, candidate), *(f"{mean:.3f}" for mean in [*means, statistics.mean(means)])])
    header = ["rate", "decay", "batch", "epochs", "width", "depth", *files, "mean"]
    print_table("Accuracy on a fifth of the training bags", header, rows)


def accuracy(
    file: str, fold: int, rate: float, decay: float, batch: int, epochs: int, width: int, depth: int
) -> float:
    """Train on four fifths of a fold's training bags, and return the accuracy on the others."""
    data = MilFile(batch, fold, file, fold, val_fraction=0.2)
    data.setup()
    torch.manual_seed(fold)
    network = AttentionPool(data.num_features, 2, width, depth, dropout=0.5)
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=decay)
    train, val = data.splits["train"], data.splits["val"]
    orders = [torch.randperm(len(train.label)).split(batch) for _ in range(epochs)]
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(orders[0]))
    for rows in (rows for order in orders for rows in order):
        bags = train.take(rows)
        loss = F.cross_entropy(network(Sets(bags.values, bags.lengths)), bags.label)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    network.eval()
    with torch.no_grad():
        answer = network(Sets(val.values, val.lengths)).argmax(1)
    return float((answer == val.label).float().mean())


if __name__ == "__main__":
    main()
