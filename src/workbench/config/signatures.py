"""The signature of a class or function, read from its source: a typo is answered without importing torch."""

import ast
import importlib
import importlib.util
import inspect
from functools import cache
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any

PLAIN_TYPES: dict[str, Any] = {
    "int": int,
    "float": (int, float),
    "bool": bool,
    "str": str,
    "None": type(None),
    "list": list,
    "dict": dict,
}


@cache
def signature(target: str) -> Signature:
    """Return what `target` (a dotted path) takes, without `self`; annotations are text.

    Raises ImportError where there is no such target.
    """
    return _read(target) or _import(target)


def _read(target: str) -> Signature | None:
    """Read the signature from source; None where only an import can tell."""
    module, _, name = target.rpartition(".")
    path = source_file(module)
    if path is None:
        return None
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return _from_arguments(node.args, skip_self=False)
        if isinstance(node, ast.ClassDef) and node.name == name:
            return _from_class(node)
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _read(f"{node.module}.{alias.name}")
    return None


def source_file(module: str) -> Path | None:
    """Find a module's file by walking folders: importing a parent package would load all of it."""
    root, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(root)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(next(iter(spec.submodule_search_locations))).joinpath(*rest)
    return next((file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()), None)


def _from_class(node: ast.ClassDef) -> Signature | None:
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return _from_arguments(item.args, skip_self=True)
    return None


def _from_arguments(arguments: ast.arguments, skip_self: bool) -> Signature:
    positional = [*arguments.posonlyargs, *arguments.args]
    required = len(positional) - len(arguments.defaults)
    parameters = [
        _parameter(argument, Parameter.POSITIONAL_OR_KEYWORD, has_default=place >= required)
        for place, argument in enumerate(positional)
    ]
    if arguments.vararg:
        parameters.append(_parameter(arguments.vararg, Parameter.VAR_POSITIONAL, False))
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        parameters.append(_parameter(argument, Parameter.KEYWORD_ONLY, default is not None))
    if arguments.kwarg:
        parameters.append(_parameter(arguments.kwarg, Parameter.VAR_KEYWORD, False))
    return Signature(parameters[1:] if skip_self else parameters)


def _parameter(argument: ast.arg, kind: inspect._ParameterKind, has_default: bool) -> Parameter:
    annotation = ast.unparse(argument.annotation) if argument.annotation else Parameter.empty
    return Parameter(
        argument.arg, kind, default=... if has_default else Parameter.empty, annotation=annotation
    )


def _import(target: str) -> Signature:
    module, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except AttributeError as error:
        raise ImportError(f"{module} has no {name}") from error
    return inspect.signature(found)


def accepts(annotation: object, value: object) -> bool:
    """Tell whether a plain value fits an annotation; one that names anything but plain types fits all."""
    if not isinstance(annotation, str):
        return True
    names = _union(ast.parse(annotation, mode="eval").body)
    if not names <= PLAIN_TYPES.keys():
        return True
    if isinstance(value, bool):
        return "bool" in names
    return any(isinstance(value, PLAIN_TYPES[name]) for name in names)


def _union(node: ast.expr) -> set[str]:
    """Return the names of the types a union is made of; an unknown form is returned as its text."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _union(node.left) | _union(node.right)
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if node.value.id == "Optional":
            return _union(inner[0]) | {"None"}
        if node.value.id == "Union":
            return set().union(*(_union(part) for part in inner))
        return _union(node.value)
    return {ast.unparse(node)}
