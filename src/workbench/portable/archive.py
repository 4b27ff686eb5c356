"""A model.pt2 of anybody, looked at before torch reads it: torch's own loader would run code that it holds.

What torch is given is a new archive of what was looked at: plain tensors, a graph of torch's own operators,
and expressions that can only count. No pickle, no compiled code, no name or text that becomes code.
"""

import ast
import io
import json
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.export import ExportedProgram

DESCRIPTION = "model.json"  # within model.pt2, and as a key of an ONNX file's metadata
GRAPH = "models/model.json"
EXAMPLES = "data/sample_inputs/model.pt"  # a pickle, which nobody needs
MEMBERS = re.compile(
    rf"archive_(format|version)|byteorder|\.data/(version|serialization_id)|extra/{DESCRIPTION}|{GRAPH}|{EXAMPLES}"
    r"|data/(weights/(weight_\d+|model_weights_config\.json)|constants/(tensor_\d+|model_constants_config\.json))"
)
NAME = r"([A-Za-z_]\w*)?"
DOTTED = r"(\w+(\.\w+)*)?"
# Strings of a graph by their key; any other is a name, which torch writes into the code it makes.
TEXTS = {
    **dict.fromkeys(("fqn", "parameter_name", "buffer_name", "tensor_constant_name"), DOTTED),
    "torch_version": r"[\w.+-]+",
    "path_name": r"(weight|tensor)_\d+",
    **dict.fromkeys(("as_string", "as_strings"), r"(?s:.*)"),  # of an operator: never code
    **dict.fromkeys(("as_float", "as_floats", "as_float_lists"), r"-?Infinity|NaN"),
}
SYMBOLIC = re.compile(
    r"_operator\.(eq|ne|le|ge|lt|gt|neg|pos|mul|add|sub|floordiv|mod|pow|truediv|and_|or_|lshift|rshift)"
    r"|math\.(trunc|ceil|floor)|torch\.sym_(not|int|float|ite|max|min|sqrt)"
    r"|torch\.ops\.higher_order\.(cond|wrap_with_set_grad_enabled|wrap_with_autocast)"
)
# Functions of sizes: sympy's as torch writes them, torch's own, and Python's.
FUNCTIONS = re.compile(
    "Symbol|Integer|Float|Rational|Add|Mul|Pow|Max|Min|Abs|Not|And|Or|Piecewise|Equality|Unequality|LessThan"
    "|StrictLessThan|GreaterThan|StrictGreaterThan|FloorDiv|ModularIndexing|Where|PythonMod|Mod|CleanDiv"
    "|CeilDiv|CeilToInt|FloorToInt|LShift|RShift|PowByNatural|FloatPow|FloatTrueDiv|IntTrueDiv|TruncToFloat"
    "|TruncToInt|RoundToInt|RoundDecimal|ToFloat|Identity|IsNonOverlappingAndDenseIndicator"
    "|min|max|abs|int|float"
)
COUNTING = (
    *(ast.Expression, ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Call, ast.keyword, ast.Subscript),
    *(ast.Constant, ast.Load, ast.boolop, ast.operator, ast.unaryop, ast.cmpop),
)
TREES = (None, "builtins.tuple", "builtins.list", "builtins.dict")


class Refused(ValueError):
    """Why a model is not loaded: what it holds could run code here."""


def load_program(path: Path) -> "tuple[ExportedProgram, str]":
    """Return the graph of a file, and its description as JSON; Refused where it could run code."""
    import torch

    extra = {DESCRIPTION: ""}
    program = torch.export.load(plain_copy(path), extra_files=extra)
    return program, extra[DESCRIPTION]


def plain_copy(path: Path) -> io.BytesIO:
    """Return an archive of what a file holds, each part looked at; Refused where one could run code."""
    copy = io.BytesIO()
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(copy, "w") as target:
        entries = source.infolist()
        names = [entry.filename.partition("/")[2] for entry in entries]
        if len({*names}) < len(names):
            raise Refused("it holds a name twice")
        for entry, name in zip(entries, names, strict=True):
            if not MEMBERS.fullmatch(name):
                raise Refused(f"it holds {name!r}, which is neither a tensor nor a graph")
            if entry.compress_type != zipfile.ZIP_STORED:
                raise Refused(f"it holds {name} compressed, as torch writes none")
            target.writestr(f"model/{name}", _plain(name, source.read(entry)))
    copy.seek(0)
    return copy


def _plain(name: str, content: bytes) -> bytes:
    if name == EXAMPLES:
        return b""
    if not name.endswith(".json") or name.startswith("extra/"):
        return content
    graph = json.loads(content)
    _check(graph, "")
    return json.dumps(graph).encode()


def _check(node: Any, key: str) -> None:
    """Refuse what could become code, in place: what only tells where a graph came from is emptied."""
    if isinstance(node, dict):
        told = node.get("metadata")
        if isinstance(told, dict) and all(isinstance(text, str) for text in told.values()):
            node["metadata"] = {}
        if node.get("use_pickle"):
            raise Refused("it holds a pickle")
        for name, value in node.items():
            _check_text(name, DOTTED, "a key")
            _check(value, name)
    elif isinstance(node, list):
        for item in node:
            _check(item, key)
    elif isinstance(node, str):
        _check_string(node, key)


def _check_string(text: str, key: str) -> None:
    if key in ("target", "as_operator"):
        _check_operator(text)
    elif key in ("expr_str", "guards_code"):
        check_expression(text, of_inputs=key == "guards_code")
    elif key in ("in_spec", "out_spec"):
        _check_tree(json.loads(text)[1])
    else:
        _check_text(text, TEXTS.get(key, NAME), key)


def _check_text(text: Any, pattern: str, key: str) -> None:
    if not isinstance(text, str) or not re.fullmatch(pattern, text, re.ASCII):
        raise Refused(f"{key} is {_short(text)}, which is no name")


def _check_operator(target: str) -> None:
    """Let torch's operators on tensors pass, but for those that open files, and what counts with sizes."""
    if SYMBOLIC.fullmatch(target):
        return
    import torch

    found: Any = re.fullmatch(r"torch\.ops\.aten\.(\w+)\.(\w+)", target, re.ASCII)
    operator = found and getattr(getattr(torch.ops.aten, found[1], None), found[2], None)
    if not isinstance(operator, torch._ops.OpOverload):
        raise Refused(f"it calls {_short(target)}, which is none of torch's operators on tensors")
    if any(argument.name == "filename" for argument in operator._schema.arguments):
        raise Refused(f"it calls {target}, which opens files")


def check_expression(text: str, of_inputs: bool) -> None:
    """Refuse what does more than count; with `of_inputs` it may ask for sizes: `L['x'].size()[0] >= 2`."""
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise Refused(f"{_short(text)} is no expression") from None
    known: list[ast.AST] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            known += _counts(node, of_inputs)
    for node in ast.walk(tree):
        is_plain = isinstance(node, COUNTING) and (not isinstance(node, ast.Call) or node.func in known)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            is_plain = re.fullmatch(r"[\w.+-]*", node.value, re.ASCII) is not None
        if not is_plain and node not in known:
            raise Refused(f"{_short(text)} does more than count")


def _counts(call: ast.Call, of_inputs: bool) -> list[ast.AST]:
    """Return what a call of a known function calls; also of `L['name'].size()` and its like."""
    if isinstance(call.func, ast.Name) and FUNCTIONS.fullmatch(call.func.id):
        return [call.func]
    asked = r"L\['\w+'\]\.(size|stride|storage_offset|dim)\(\)"
    if of_inputs and re.fullmatch(asked, ast.unparse(call), re.ASCII):
        return list(ast.walk(call.func))
    return []


def _check_tree(spec: dict[str, Any]) -> None:
    """Let tuples, lists and dictionaries pass: other kinds name what torch would import."""
    context = spec["context"]
    names = json.loads(context) if isinstance(context, str) else context
    if spec["type"] not in TREES or not (names is None or isinstance(names, list)):
        raise Refused(f"it takes or answers {_short(spec['type'])}, which is no plain kind")
    for name in names or []:
        _check_text(name, NAME, "an answer")
    for child in spec["children_spec"]:
        _check_tree(child)


def _short(text: Any) -> str:
    return repr(text)[:80]
