"""Models and images that were made to run code: each changes one part of an honest model.pt2."""

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

Graph = dict[str, Any]
Members = dict[str, bytes]

GRAPH = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"


class Touches:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def craft(model: Path, target: Path, change: Callable[[Members, Path], None], marker: Path) -> Path:
    """Write a changed copy of a model; where it runs its code, that makes the file `marker`."""
    with zipfile.ZipFile(model) as source:
        members = {name.partition("/")[2]: source.read(name) for name in source.namelist()}
    change(members, marker)
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"model/{name}", content)
    return target


def in_json(change: Callable[[Any, Path], None], name: str = GRAPH) -> Callable[[Members, Path], None]:
    def changed(members: Members, marker: Path) -> None:
        content = json.loads(members[name])
        change(content, marker)
        members[name] = json.dumps(content).encode()

    return changed


def code(marker: Path) -> str:
    return f"__import__('os').system('touch {marker}')"


def expression(graph: Graph, marker: Path) -> None:
    (symbol,) = graph["range_constraints"]
    values = graph["graph_module"]["graph"]["tensor_values"]["images_bhwc"]
    values["sizes"][0]["as_expr"]["expr_str"] = f"{code(marker)} or Symbol('{symbol}')"


def guard(graph: Graph, marker: Path) -> None:
    graph["guards_code"].append(f"{code(marker)} == 0")


def _call(graph: Graph, target: str, **arguments: dict[str, Any]) -> None:
    """Let the graph begin with a call that gives eight bytes."""
    inputs = [{"name": name, "arg": value, "kind": 1} for name, value in arguments.items()]
    outputs = [{"as_tensor": {"name": "called"}}]
    node = {"target": target, "inputs": inputs, "outputs": outputs, "metadata": {}, "name": "called"}
    inner = graph["graph_module"]["graph"]
    inner["nodes"].insert(0, node | {"is_hop_single_tensor_return": None})
    shape = {"sizes": [{"as_int": 8}], "strides": [{"as_int": 1}]}
    inner["tensor_values"]["called"] = inner["tensor_values"]["images_bhwc"] | shape


def function_of_python(graph: Graph, marker: Path) -> None:
    _call(graph, "torch.os.system", command={"as_string": f"touch {marker}"})


def operator_that_opens_files(graph: Graph, marker: Path) -> None:
    words = {"filename": {"as_string": str(marker)}, "shared": {"as_bool": True}, "size": {"as_int": 8}}
    _call(graph, "torch.ops.aten.from_file.default", **words)


def name_of_an_argument(graph: Graph, marker: Path) -> None:
    text = json.dumps(graph)
    name = f"images_bhwc={code(marker)}"
    graph |= json.loads(text.replace('"images_bhwc"', json.dumps(name)))
    graph["graph_module"]["module_call_graph"][0]["signature"]["forward_arg_names"] = [name]


def kind_that_is_imported(graph: Graph, marker: Path) -> None:
    (marker.parent / "imported_kind.py").write_text(f"open({str(marker)!r}, 'w')\n")
    context = {"default_factory_module": "imported_kind", "default_factory_name": "x", "dict_context": []}
    spec = {"type": "collections.defaultdict", "context": context, "children_spec": []}
    graph["graph_module"]["module_call_graph"][0]["signature"]["in_spec"] = json.dumps([1, spec])


def enumeration_that_is_imported(graph: Graph, marker: Path) -> None:
    (marker.parent / "imported_kind.py").write_text(f"open({str(marker)!r}, 'w')\n")
    context = json.dumps([{"__enum__": True, "fqn": "imported_kind:x", "name": "y"}])
    spec = {"type": "builtins.dict", "context": context, "children_spec": []}
    graph["graph_module"]["module_call_graph"][0]["signature"]["in_spec"] = json.dumps([1, spec])


def _pickled(marker: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save(((Touches(marker),), {}), buffer)
    return buffer.getvalue()


def pickled_examples(members: Members, marker: Path) -> None:
    members["data/sample_inputs/model.pt"] = _pickled(marker)


def pickled_weight(members: Members, marker: Path) -> None:
    config = json.loads(members[WEIGHTS])
    first = next(iter(config["config"].values()))
    first["use_pickle"] = True
    members[f"data/weights/{first['path_name']}"] = _pickled(marker)
    members[WEIGHTS] = json.dumps(config).encode()


def pickled_weights_of_old(members: Members, marker: Path) -> None:
    members["data/weights/model.pt"] = _pickled(marker)


def pickled_object(members: Members, marker: Path) -> None:
    name = "data/constants/model_constants_config.json"
    config = json.loads(members[name])
    meta = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
    config["config"]["own"] = meta
    members |= {
        name: json.dumps(config).encode(),
        "data/constants/opaque_obj_0": pickle.dumps(Touches(marker)),
    }


def compiled_code(members: Members, marker: Path) -> None:
    members["data/aotinductor/model/model.so"] = b"\x7fELF"


def another_graph_in_capitals(members: Members, marker: Path) -> None:
    members["MODELS/model.json"] = members[GRAPH]


ATTACKS = {
    pickled_examples: None,  # left out: nobody needs them
    pickled_weight: "it holds a pickle",
    pickled_weights_of_old: "it holds 'data/weights/model.pt'",
    pickled_object: "it holds a pickle",
    compiled_code: "it holds 'data/aotinductor/model/model.so'",
    another_graph_in_capitals: "it holds 'MODELS/model.json'",
    in_json(expression): "does more than count",
    in_json(guard): "does more than count",
    in_json(function_of_python): "it calls 'torch.os.system'",
    in_json(operator_that_opens_files): "which opens files",
    in_json(name_of_an_argument): "which is no name",
    in_json(kind_that_is_imported): "it takes or answers 'collections.defaultdict'",
    in_json(enumeration_that_is_imported): "which is no name",
}
