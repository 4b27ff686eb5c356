"""The two storeys of src/: which room may import which, and that no import runs in a circle."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[1] / "src"
GROUND = ("workbench.portable", "workbench.common")  # import nothing above them


def modules() -> dict[str, Path]:
    """Return the files of both storeys, and the commands, by their dotted names."""
    return {
        ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__"): path
        for path in SRC.rglob("*.py")
    }


def imports(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Give the modules of this project that a file imports, anywhere in it, for type checkers too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module in known:
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            found = [name for name in inside if name in known]
            yield from found or [node.module]


def room_of(module: str) -> str:
    """Return the folder a module lies in; a command is a room of its own."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] in ("patchsets", "workbench") else parts[0]


@pytest.fixture(scope="module")
def arrows() -> dict[str, set[str]]:
    known = modules()
    return {name: set(imports(path, known)) - {name} for name, path in known.items()}


def storey(module: str) -> int:
    """Return 0 for the machine, 1 for the research, 2 for what Hydra finds by name and the commands."""
    return {"workbench": 0, "patchsets": 1}.get(module.split(".")[0], 2)


def test_no_import_runs_up(arrows: dict[str, set[str]]) -> None:
    up = [(one, other) for one, others in arrows.items() for other in others if storey(other) > storey(one)]
    assert up == []


def test_the_ground_imports_nothing_above_it(arrows: dict[str, set[str]]) -> None:
    for ground in GROUND:
        above = {
            (one, other)
            for one, others in arrows.items()
            for other in others
            if one.startswith(ground) and not other.startswith(ground)
        }
        assert above == set()


def test_no_two_rooms_import_each_other_in_a_circle(arrows: dict[str, set[str]]) -> None:
    rooms: dict[str, set[str]] = {}
    for one, others in arrows.items():
        rooms.setdefault(room_of(one), set()).update(room_of(other) for other in others)
    assert circle({room: others - {room} for room, others in rooms.items()}) == []


def test_no_files_import_each_other_in_a_circle(arrows: dict[str, set[str]]) -> None:
    assert circle(arrows) == []


def circle(arrows: dict[str, set[str]]) -> list[str]:
    """Return the first circle found, from a name back to itself; empty where there is none."""
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        found = next(
            (found for other in sorted(arrows.get(name, ())) if (found := walk(other, [*path, name]))), []
        )
        done.add(name)
        return found

    return next((found for name in sorted(arrows) if (found := walk(name, []))), [])


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
