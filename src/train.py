"""Train one experiment, or with -m many: python src/train.py hparams.batch_size=32 (every word: --help)."""

import os
import sys

os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then hands its errors on, to be told below

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from workbench.common.errors import ConfigError, UserError
from workbench.common.process import begin_process
from workbench.config import composition
from workbench.config.command import flags_last, quote_note, words_beside_a_run
from workbench.config.explanations import explain, is_config_error

composition.register()


@hydra.main(version_base="1.3", config_path="../config", config_name="config")
def main(config: DictConfig) -> dict[str, float]:
    from workbench.train.experiment import run

    try:
        return run(config)
    except Exception as error:
        if is_config_error(error):  # found when a value was first read; Hydra would announce it
            error = ConfigError(explain(error))
        if not isinstance(error, UserError) or HydraConfig.get().mode is RunMode.MULTIRUN:
            raise error  # the sweep records it and goes on with the next trial
        sys.exit(error.tell())


if __name__ == "__main__":
    sys.argv[1:] = flags_last(words_beside_a_run(quote_note(sys.argv[1:])))
    try:
        begin_process()
        main()
    except UserError as error:
        sys.exit(error.tell())
    except KeyboardInterrupt:  # before the run began; a run says itself how it ended
        sys.exit(130)
    except Exception as error:
        if not is_config_error(error):
            raise
        sys.exit(ConfigError(explain(error)).tell())
