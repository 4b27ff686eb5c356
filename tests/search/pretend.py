"""Sweeps in the process of a test, whose trials only pretend to train."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig
from whole_command import ROOT

from workbench.config import composition
from workbench.run.metrics_file import MetricsFile
from workbench.run.summary import Recording
from workbench.search.validate import prepare

Train = Callable[[DictConfig], Any]


def sweep(folder: Path, train: Train, *words: str) -> int:
    """Do what `train.py -m` does with these words, in this process; return its exit code."""
    composition.register()
    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        typed = [
            "hydra.mode=MULTIRUN",
            f"hydra.sweep.dir={folder}",
            f"outputs={folder.parent}/outputs",
            *words,
        ]
        config = hydra.compose_config("config", typed, run_mode=RunMode.MULTIRUN, from_shell=True)
        context = HydraContext(config_loader=hydra.config_loader, callbacks=_no_callbacks(config))
        try:
            prepare(config, context, train, list(config.hydra.overrides.task)).run()
        except SystemExit as end:
            assert isinstance(end.code, int)
            return end.code
    return 0


def _no_callbacks(config: DictConfig) -> Any:
    from hydra._internal.callbacks import Callbacks

    return Callbacks(config)


class Trials:
    """Pretends to train: the loss is a parabola of the learning rate; remembers what it was asked for."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.resumed: list[bool] = []
        self.folders: list[str] = []
        self.before_end: Callable[[int], None] = lambda number: None
        self.validates = True

    def __call__(self, config: DictConfig) -> None:
        rate = float(config.hparams.learning_rate)
        folder = Path(HydraConfig.get().runtime.output_dir)
        self.rates.append(rate)
        self.resumed.append((folder / "config.yaml").is_file())
        self.folders.append(folder.name)
        (folder / "config.yaml").write_text("a: 1\n")
        recording = Recording(folder)
        recording.begin()
        try:
            self.before_end(len(self.rates))
            loss = (math.log10(rate) + 3) ** 2
            values = {"val/loss": loss + config.seed / 9, "val/accuracy": 1 / (1 + loss)}
            if self.validates:
                MetricsFile(folder).append("epoch", 0, 1, values)
            tested = {"test/loss": loss + config.seed / 7, "test/accuracy": 0.5 + config.seed / 100}
            recording.write_end("finished", tested, None)
        except Exception as error:
            recording.write_end("failed", {}, str(error))
            raise
        finally:
            recording.release()
