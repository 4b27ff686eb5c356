"""The classes that a class is made of, read from their source: nothing is imported."""

import ast
from functools import cache

from workbench.config.signatures import source_file

LIBRARIES = ("torch.", "pytorch_lightning.")  # nothing is asked about what comes from there


@cache
def ancestry(target: str) -> tuple[ast.ClassDef, ...]:
    """Return the class `target` (a dotted path) and its ancestors, the nearest first.

    Empty where the source of any of them is not found; torch's and Lightning's own are left out.
    """
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
            bases = [_resolved(base, imported, module) for base in node.bases]
            above = [ancestry(base) for base in bases if not base.startswith(LIBRARIES)]
            return (node, *(one for line in above for one in line)) if all(above) else ()
    return ancestry(imported[name]) if name in imported else ()


def _resolved(base: ast.expr, imported: dict[str, str], module: str) -> str:
    """Return the dotted path of what a class names as its base."""
    name, dot, rest = ast.unparse(base).partition("[")[0].partition(".")
    return f"{imported.get(name, name if dot else f'{module}.{name}')}{dot}{rest}"


def members(target: str) -> set[str]:
    """Return the names of methods and attributes that a class and its ancestors define."""
    return {name for node in ancestry(target) for item in node.body for name in _names(item)}


def method(target: str, name: str) -> ast.FunctionDef | None:
    """Return a method of a class, or the nearest ancestor's."""
    found = (item for node in ancestry(target) for item in node.body)
    return next((item for item in found if isinstance(item, ast.FunctionDef) and item.name == name), None)


def constant(target: str, name: str) -> tuple[str, ...] | None:
    """Return the words that a class, or the nearest ancestor, gives to an attribute; none if computed."""
    for item in (item for node in ancestry(target) for item in node.body):
        if name in _names(item) and isinstance(item, ast.Assign | ast.AnnAssign) and item.value:
            try:
                return tuple(ast.literal_eval(item.value))
            except ValueError:
                return ()
    return None


def _names(item: ast.stmt) -> list[str]:
    if isinstance(item, ast.FunctionDef):
        return [item.name]
    targets = {ast.Assign: "targets", ast.AnnAssign: "target"}.get(type(item))
    found = getattr(item, targets) if targets else []
    return [one.id for one in (found if isinstance(found, list) else [found]) if isinstance(one, ast.Name)]
