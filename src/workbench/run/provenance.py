"""What a run was made of: command, code, packages, hardware; written before the first step of each start."""

import json
import logging
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock
from omegaconf import DictConfig, OmegaConf

from workbench.common.errors import ConfigError
from workbench.common.files import appearing_whole, give_second_name, read_json, write_json
from workbench.common.redaction import redact, redact_all
from workbench.common.workspace import ROOT
from workbench.run.snapshot import CODE, LOCK, keep_code, keep_lock
from workbench.run.starts import new_start
from workbench.run.trial import is_trial

log = logging.getLogger(__name__)


def write_provenance(folder: Path, config: DictConfig, overrides: list[str]) -> None:
    """Write sources, the record of one more start (starts.py), then config.yaml, interpolations intact."""
    new, final = new_start(folder)
    plain = OmegaConf.to_container(config, resolve=False)
    for name, content in {"config.yaml": plain, "overrides.yaml": overrides}.items():
        text = OmegaConf.to_yaml(OmegaConf.create(redact_all(content)))
        (new / name).write_text(text, encoding="utf-8")
    (new / "uncommitted.diff").write_text(redact(_git("diff", "HEAD") or ""), encoding="utf-8")
    write_json(new / "environment.json", redact_all(environment(config)))
    write_json(new / "times.json", {"started": round(time.time(), 3)})
    _keep_sources(folder, list(config.trusted_targets))
    for name in (CODE, LOCK):
        give_second_name(folder / name, new / name)
    new.rename(final)
    with appearing_whole(folder / "config.yaml") as temporary:
        shutil.copy(final / "config.yaml", temporary)


def _keep_sources(folder: Path, trusted: Sequence[str]) -> None:
    """Write code.zip and lock.txt; a trial's are those of its sweep under a second name, where they agree."""
    if not is_trial(folder):
        keep_code(folder / CODE, trusted, folder / CODE)
        keep_lock(folder / LOCK, _packages(), folder / LOCK)
        return
    sweep = folder.parent
    with FileLock(sweep / ".sources.lock"):  # a sweep has several workers
        if not (sweep / CODE).is_file():
            keep_code(sweep / CODE, trusted)
            keep_lock(sweep / LOCK, _packages())
    if changed := keep_code(folder / CODE, trusted, sweep / CODE):
        log.warning("the code has changed since this sweep began: %s", ", ".join(changed[:10]))
    keep_lock(folder / LOCK, _packages(), sweep / LOCK)


def workspace_commit() -> str | None:
    """Return the commit of the workspace as it is now; None where git knows none."""
    return _git("rev-parse", "HEAD")


def environment(config: DictConfig) -> dict[str, Any]:
    """Return command, seed, commit, hardware and exact package versions as plain values."""
    return {
        "command": shlex.join([Path(sys.executable).name, *sys.argv]),
        "directory": str(Path.cwd()),
        "seed": config.seed,
        "commit": workspace_commit(),
        "untracked": (_git("ls-files", "--others", "--exclude-standard") or "").splitlines(),
        "threads": _threads(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": platform.node(),
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "gpus": _gpus(),
        "packages": _packages(),
    }


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace").strip("\n")


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def _processor() -> str:
    """Return the processor's name: other ones may round otherwise."""
    with suppress(OSError):
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        return found[1] if found else platform.processor()
    return platform.processor()


def _gpus() -> list[str]:
    import torch

    return [torch.cuda.get_device_name(place) for place in range(torch.cuda.device_count())]


def _packages() -> dict[str, str]:
    """List what is installed by the names of the metadata folders: reading the metadata takes a second."""
    found = [path.name for entry in reversed(sys.path) for path in Path(entry).glob("*.dist-info")]
    versions = dict(name.removesuffix(".dist-info").split("-", 1) for name in found)  # the first on the path
    return dict(sorted(versions.items()))


def record_data(folder: Path, fingerprint: dict[str, Any]) -> None:
    """Write data.json, where the run's first start has not."""
    path = folder / "data.json"
    if not path.is_file():
        write_json(path, fingerprint)


def changed_data(folder: Path, fingerprint: dict[str, Any]) -> str:
    """Return what of the data is not as it was when the run began; nothing where all is, or none is kept.

    Raises ConfigError where data.json is damaged.
    """
    path = folder / "data.json"
    if not path.is_file():
        return ""
    kept, found = read_json(path), json.loads(json.dumps(fingerprint))
    if kept is None:
        raise ConfigError(f"{path}: it is damaged; remove it to go on with the data as they are now")
    return ", ".join(key for key in kept if kept[key] != found.get(key))  # a later version may say more
