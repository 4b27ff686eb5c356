"""By which names a run chose its task, data, model and trainer: those of the files under config/."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from workbench.common.workspace import ROOT

CHOICES = ("task", "data", "model", "trainer")


def choice(group: str, node: Any, overrides: Sequence[str]) -> str | None:
    """Return what was typed for a group, else the preset with the target of its node, else its module."""
    typed = [word.partition("=")[2] for word in overrides if word.startswith(f"{group}=")]
    if typed:
        return typed[-1]
    target = str(node.get("_target_", "")) if isinstance(node, Mapping) else ""
    return presets(group).get(target) or (target.split(".")[-2] if "." in target else None)


@cache
def presets(group: str) -> dict[str, str]:
    """Return the names of a group's files by the target each names; of several the first by name."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "config" / group).glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        named = re.search(r"^ *_target_: *(\S+)", text, re.MULTILINE)
        if named:
            found.setdefault(named[1], path.stem)
    return found
