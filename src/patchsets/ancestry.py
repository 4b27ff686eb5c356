"""The classes that a class is made of, read from their source: nothing is imported."""

import ast
from functools import cache

from patchsets.signatures import source_file

LIBRARIES = ("torch.", "pytorch_lightning.")  # nothing is asked about what comes from there


@cache
def ancestry(target: str) -> tuple[ast.ClassDef, ...]:
    """Return the class `target` (a dotted path) and its ancestors, the nearest first; empty if unknown."""
    module, _, name = target.rpartition(".")
    path = None if target.startswith(LIBRARIES) else source_file(module)
    if path is None:
        return ()
    body = ast.parse(path.read_text(encoding="utf-8")).body
    imported = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in body
        if isinstance(node, ast.ImportFrom) and not node.level
        for alias in node.names
    }
    for node in body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
            above = (ancestry(imported.get(base, f"{module}.{base}")) for base in bases)
            return (node, *(one for line in above for one in line))
    return ancestry(imported[name]) if name in imported else ()


def members(target: str) -> set[str]:
    """Return the names of methods and attributes that a class and its ancestors define."""
    return {name for node in ancestry(target) for item in node.body for name in _names(item)}


def method(target: str, name: str) -> ast.FunctionDef | None:
    """Return a method of a class, or the nearest ancestor's."""
    found = (item for node in ancestry(target) for item in node.body)
    return next((item for item in found if isinstance(item, ast.FunctionDef) and item.name == name), None)


def constant(target: str, name: str) -> tuple[str, ...] | None:
    """Return a plain value that a class, or the nearest ancestor, gives to an attribute."""
    for node in ancestry(target):
        for item in node.body:
            if name in _names(item) and isinstance(item, ast.AnnAssign) and item.value:
                value: tuple[str, ...] = ast.literal_eval(item.value)
                return value
    return None


def _names(item: ast.stmt) -> list[str]:
    if isinstance(item, ast.FunctionDef):
        return [item.name]
    return [item.target.id] if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) else []
