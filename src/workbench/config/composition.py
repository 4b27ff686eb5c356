"""Register with Hydra the schema and our resolvers, and drop hyper-parameters that no part reads.

So `--cfg job`, TAB, a run and a sweep see the same hyper-parameters. Hydra has no public hook there.
"""

import hashlib
import sys
from functools import wraps
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from workbench.common.redaction import redact_all
from workbench.common.workspace import ROOT
from workbench.config.hparams import drop_unread, typed_keys
from workbench.config.schema import schema


def drop_unread_hparams() -> None:
    """Let every configuration that Hydra composes from now on be without them."""
    compose = ConfigLoaderImpl.load_configuration
    if hasattr(compose, "__wrapped__"):
        return

    @wraps(compose)
    def load(
        self: Any, config_name: str | None, overrides: list[str], *args: Any, **named: Any
    ) -> DictConfig:
        config = compose(self, config_name, overrides, *args, **named)
        if "hparams" in config:
            drop_unread(config, typed_keys(overrides))
        return config

    ConfigLoaderImpl.load_configuration = load  # type: ignore[method-assign]


# What may change between two starts of one sweep: how far it goes, and on what.
OF_A_START = ("-m", "--multirun", "sweep.n_trials=", "hydra/launcher=", "hydra.launcher.", "note=")


def _sweep_name() -> str:
    """Name a sweep after its command, so that the same command finds its folder again."""
    words = sorted(word for word in sys.argv[1:] if not word.startswith(OF_A_START))
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:10]


class Redacted(Callback):
    """Blanks secrets in the words that Hydra prints before it raises what a run raised."""

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        """Blank them in Hydra's record of the run."""
        job_return.overrides = redact_all(job_return.overrides)


def register() -> None:
    """Make the schema and the resolvers known to Hydra."""
    ConfigStore.instance().store(name="schema", node=schema())
    OmegaConf.register_new_resolver("workspace", lambda path: str(ROOT / path), replace=True)
    OmegaConf.register_new_resolver("sweep_name", _sweep_name, use_cache=True, replace=True)
    drop_unread_hparams()
