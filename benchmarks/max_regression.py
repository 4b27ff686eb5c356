"""The first table of the Set Transformer paper (Lee et al. 2019, 5.1), measured beside what it prints.

python benchmarks/max_regression.py [seeds]      about 15 minutes a seed on one core

Sets of 1 to 10 numbers from 0 to 100, Adam, batches of 128 fresh sets, 20,000 steps, learning rate 1e-3:
constant as in the paper, and decayed to zero by a cosine. Each number is the mean absolute error of the last
weights on 20,000 held-out sets. The paper gives mean and standard deviation of five runs.
"""

import logging
import statistics
import sys
import tempfile

import pytorch_lightning as lightning
import torch
from hydra import compose, initialize_config_dir
from timing import print_table

from workbench.common.workspace import ROOT
from workbench.config import composition
from workbench.train.training import build_task

PUBLISHED = {
    "mean": ("2.133 ± 0.190", ["model=deep_sets", "model.pool=[mean]", "hparams.depth=3"]),
    "sum": ("1.902 ± 0.137", ["model=deep_sets", "model.pool=[sum]", "hparams.depth=3"]),
    "max": ("0.1355 ± 0.0074", ["model=deep_sets", "model.pool=[max]", "hparams.depth=3"]),
    "SAB + PMA": ("0.2085 ± 0.0127", ["model=published_set_transformer", "hparams.depth=2"]),
}
PRESET = ["data=max_regression", "task=regression"]


def main() -> None:
    """Train every row with both schedules and print the table."""
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    composition.register()
    seeds = range(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    rows = []
    for name, (published, words) in PUBLISHED.items():
        errors = [
            _summary([_error([*words, f"hparams.schedule={schedule}", f"seed={seed}"]) for seed in seeds])
            for schedule in ("null", "cosine")
        ]
        rows.append([name, published, *errors])
        print(*rows[-1], sep="\t", flush=True)
    header = ["pooling", "published", "constant rate", "decayed rate"]
    print_table(f"Max regression, mean absolute error, seeds {list(seeds)}", header, rows)


def _error(words: list[str]) -> float:
    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        config = compose("config", overrides=[*PRESET, *words])
    lightning.seed_everything(config.seed, verbose=False)
    task = build_task(config)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    with tempfile.TemporaryDirectory() as folder:
        trainer = lightning.Trainer(
            max_epochs=config.hparams.max_epochs,
            accelerator="cpu",
            enable_model_summary=False,
            limit_val_batches=0,
            default_root_dir=folder,
            **quiet,
        )
        trainer.fit(task)
        return trainer.test(task, verbose=False)[0]["test/loss"]


def _summary(errors: list[float]) -> str:
    if len(errors) == 1:
        return f"{errors[0]:.4f}"
    return f"{statistics.mean(errors):.4f} ± {statistics.stdev(errors):.4f}"


if __name__ == "__main__":
    main()
