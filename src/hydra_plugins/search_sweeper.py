"""Hydra's way to workbench.search: whatever -m is given, a grid or a study, is run by one sweeper."""

from typing import Any

from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig


class SearchSweeper(Sweeper):
    """Imports what it needs once a sweep runs: Hydra loads this module at every start, and at a TAB."""

    config: DictConfig

    def setup(self, *, hydra_context: Any, task_function: Any, config: DictConfig) -> None:
        """Keep what Hydra gives to every sweeper."""
        self.config, self.hydra_context, self.task_function = config, hydra_context, task_function

    def sweep(self, arguments: list[str]) -> Any:
        """Check everything, then run what is missing; exits with 1 where something still is."""
        from workbench.search.validate import prepare

        return prepare(self.config, self.hydra_context, self.task_function, arguments).run()
