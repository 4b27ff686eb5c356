"""What a `_target_` is and takes: imported, its signature bound; a class, function or `Class.method`."""

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable
from functools import cache
from inspect import Parameter, Signature
from pathlib import Path
from types import ModuleType, NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from workbench.common.limits import Limit

PLAIN: dict[Any, Any] = {kind: kind for kind in (int, bool, str, NoneType, list, dict)}
PLAIN[float] = (int, float)
VARIABLE = (Parameter.VAR_KEYWORD, Parameter.VAR_POSITIONAL)


@cache
def locate(target: str) -> Callable[..., Any]:
    """Import what a dotted path names; ImportError, with file and line, where that cannot be done."""
    words = target.split(".")
    for length in range(len(words) - 1, 0, -1):
        module = ".".join(words[:length])
        try:
            found: Any = _import_installed(module)
        except ModuleNotFoundError as error:
            if error.name and (module == error.name or module.startswith(f"{error.name}.")):
                continue  # its end may be a class
            raise ImportError(f"it imports {error.name}, which is not installed") from error
        except Exception as error:
            raise ImportError(f"{_place(error)}: {error.__class__.__name__}: {error}") from error
        for word in words[length:]:
            if not hasattr(found, word):
                raise ImportError(f"{getattr(found, '__name__', module)} has no {word}")
            found = getattr(found, word)
        return found
    raise ImportError(f"no module named {words[0]}")


def _import_installed(module: str) -> ModuleType:
    """Import a module, but not from the current directory, which may be anybody's."""
    relative = [place for place in sys.path if not Path(place).is_absolute()]
    sys.path[:] = [place for place in sys.path if place not in relative]
    try:
        return importlib.import_module(module)
    finally:
        sys.path[:0] = relative


def _place(error: Exception) -> str:
    """Return the file and line that a module's import failed at."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}"
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{last.filename}:{last.lineno}"


@cache
def signature(target: str) -> Signature:
    """Return what `target` takes, without `self`; a class that hands `**named` on takes its parents' too."""
    return signature_of(locate(target))


def signature_of(found: Callable[..., Any]) -> Signature:
    """Return what a class or a function takes, as `signature` does."""
    if not inspect.isclass(found):
        return Signature(list(_parameters(found).values()))
    taken: dict[str, Parameter] = {}
    for kind in found.__mro__:
        if kind is object or "__init__" not in vars(kind):
            continue
        own = dict(list(_parameters(vars(kind)["__init__"]).items())[1:])
        taken = {name: each for name, each in taken.items() if each.kind not in VARIABLE}
        if taken:  # a subclass may give its parent what that needs
            own = {name: _optional(each) for name, each in own.items()}
        taken = {**own, **taken}
        if not any(each.kind is Parameter.VAR_KEYWORD for each in own.values()):
            break
    by_name = [each.replace(kind=_kind(each)) for each in taken.values()]
    return Signature(sorted(by_name, key=lambda each: each.kind))


def _optional(parameter: Parameter) -> Parameter:
    is_needed = parameter.kind not in VARIABLE and parameter.default is Parameter.empty
    return parameter.replace(default=...) if is_needed else parameter


def _kind(parameter: Parameter) -> Any:
    return parameter.kind if parameter.kind in VARIABLE else Parameter.KEYWORD_ONLY


def _parameters(found: Callable[..., Any]) -> dict[str, Parameter]:
    """Return the parameters of a function, annotations as types; none of one that cannot be told."""
    try:
        parameters = inspect.signature(found).parameters
    except ValueError:  # of a builtin: let it say itself what is wrong
        return {"named": Parameter("named", Parameter.VAR_KEYWORD)}
    try:
        hints = get_type_hints(found, include_extras=True)
    except Exception:  # names that only a type checker imports
        hints = {}
    return {
        name: each.replace(annotation=hints.get(name, Parameter.empty)) for name, each in parameters.items()
    }


def refusal(annotation: Any, value: Any) -> str | None:
    """Return what a plain value is not, by an annotation; None where it fits, or none can tell."""
    if get_origin(annotation) is Annotated:
        kind, *extras = get_args(annotation)
        limits = [extra for extra in extras if isinstance(extra, Limit)]
        if (wrong := refusal(kind, value)) is not None:
            return wrong
        return next((limit.wanted for limit in limits if not limit.holds(value)), None)
    if get_origin(annotation) is Literal:
        words = get_args(annotation)
        return None if value in words else f"one of {', '.join(map(str, words))}"
    if get_origin(annotation) in (Union, UnionType):
        refusals = [refusal(part, value) for part in get_args(annotation)]
        return None if None in refusals else next(filter(None, refusals[::-1] if value is None else refusals))
    wanted: Any = PLAIN.get(get_origin(annotation) or annotation)
    if wanted is None or (isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))):
        return None
    return f"of type {getattr(annotation, '__name__', annotation)}"
