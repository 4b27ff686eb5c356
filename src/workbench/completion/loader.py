"""What a script says to `hydra.main`, read from its source.

Hydra's config loader for one script and one set of overrides: it works once, not at each query.
"""

import ast
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.utils import compute_search_path_dir, create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobRuntime, setup_globals
from hydra.errors import ConfigCompositionException, HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.basecontainer import BaseContainer

from workbench.config import composition

ARGUMENTS = ("config_path", "config_name", "version_base")


class Script:
    """Where the configuration of a script is, by its decorator and by the flags that were typed."""

    def __init__(self, path: Path, arguments: Mapping[str, str | None], flags: Mapping[str, str]) -> None:
        self.path = path
        config_path = flags.get("--config-path") or arguments.get("config_path")
        self.config_directory = compute_search_path_dir(str(path), None, config_path)
        self.config_name = flags.get("--config-name") or arguments.get("config_name")
        self.extra_directory = flags.get("--config-dir")
        self.version_base = arguments.get("version_base", "1.1")


def read_script(path: Path, flags: Mapping[str, str]) -> Script | None:
    """Read the first call of `hydra.main` in a script; None where there is none that can be read."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "hydra.main":
            named = {keyword.arg or "": keyword.value for keyword in node.keywords}
            values = dict(zip(ARGUMENTS, node.args, strict=False)) | named
            try:
                arguments = {name: ast.literal_eval(value) for name, value in values.items()}
            except ValueError:
                return None
            return Script(path, arguments, flags)
    return None


WORKING_FOLDER = "completion_working_folder"


class Loader(ConfigLoaderImpl):
    """Answers every call for the overrides it was made with, composed once."""

    def __init__(self, script: Script, overrides: list[str]) -> None:
        search_path = create_config_search_path(script.config_directory)
        if script.extra_directory:
            folder = f"file://{Path(script.extra_directory).absolute()}"
            search_path.prepend("command-line", folder, SearchPathQuery(provider="schema"))
        super().__init__(search_path)
        self._config_name, self._overrides = script.config_name, overrides
        self._options: dict[tuple[str, ObjectType | None], list[str]] = {}

    @cached_property
    def config(self) -> DictConfig:
        """The composed configuration; overrides that Hydra refuses are left out, all together."""
        for overrides in (self._overrides, []):
            try:
                config = super().load_configuration(self._config_name, overrides, RunMode.MULTIRUN)
            except (ConfigCompositionException, HydraException):
                continue
            config.hydra.runtime.cwd = f"${{{WORKING_FOLDER}:}}"
            return config
        return OmegaConf.create()

    @cached_property
    def repository_searched(self) -> tuple[list[Override], CachingConfigRepository]:
        """The overrides, and the files and packages that `hydra.searchpath` leads to."""
        make = super()._parse_overrides_and_create_caching_repo
        try:
            return make(self._config_name, self._overrides)
        except HydraException:
            return make(self._config_name, [])

    def load_configuration(self, *_: Any, **__: Any) -> DictConfig:
        return self.config

    def get_group_options(
        self, group_name: str, results_filter: ObjectType | None = ObjectType.CONFIG, *_: Any, **__: Any
    ) -> list[str]:
        asked = (group_name, results_filter)
        if asked not in self._options:
            repository = self.repository_searched[1]
            self._options[asked] = repository.get_group_options(group_name, results_filter)
        return self._options[asked]

    def folders(self) -> list[str]:
        """Return the folders that configurations are read from."""
        sources = self.repository_searched[1].get_sources()
        return [source.path for source in sources if source.scheme() == "file"]


def start_hydra(script: Script) -> set[str]:
    """Make Hydra ready as `hydra.main` would; returns the set that names each resolver as it is used."""
    setup_globals()
    version.setbase(script.version_base)
    JobRuntime.instance().set("name", script.path.stem)
    composition.register()
    OmegaConf.register_new_resolver(WORKING_FOLDER, os.getcwd, replace=True)
    return _record_resolvers()


def _record_resolvers() -> set[str]:
    used: set[str] = set()

    def recording(name: str, resolver: Any) -> Any:
        def record(*arguments: Any) -> Any:
            used.add(name)
            return resolver(*arguments)

        return record

    for name, resolver in BaseContainer._resolvers.items():
        BaseContainer._resolvers[name] = recording(name, resolver)
    return used
