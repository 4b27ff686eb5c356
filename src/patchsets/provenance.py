"""What a run was made of: command, code, packages, hardware; written before the first step."""

import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from patchsets.run import write_json
from patchsets.secrets import redact
from patchsets.workspace import ROOT


def write_provenance(folder: Path, config: DictConfig, overrides: list[str]) -> None:
    """Write config.yaml (interpolations intact), overrides.yaml, environment.json and uncommitted.diff."""
    _write(folder / "config.yaml", OmegaConf.to_yaml(config, resolve=False))
    _write(folder / "overrides.yaml", OmegaConf.to_yaml(overrides))
    _write(folder / "uncommitted.diff", _git("diff", "HEAD") or "")
    write_json(folder / "environment.json", environment(config))


def _write(path: Path, text: str) -> None:
    path.write_text(redact(text), encoding="utf-8")


def environment(config: DictConfig) -> dict[str, Any]:
    """Return command, seed, commit, hardware and exact package versions as plain values."""
    return {
        "command": redact(shlex.join([Path(sys.executable).name, *sys.argv])),
        "directory": str(Path.cwd()),
        "seed": config.seed,
        "commit": _git("rev-parse", "HEAD"),
        "untracked": (_git("ls-files", "--others", "--exclude-standard") or "").splitlines(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": platform.node(),
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


def _gpus() -> list[str]:
    import torch

    return [torch.cuda.get_device_name(place) for place in range(torch.cuda.device_count())]


def _packages() -> dict[str, str]:
    """List what is installed by the names of the metadata folders: reading the metadata takes a second."""
    names = (found.name for entry in sys.path for found in Path(entry).glob("*.dist-info"))
    return dict(sorted(name.removesuffix(".dist-info").split("-", 1) for name in names))
