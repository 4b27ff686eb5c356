"""code.zip holds what a run imports or reads, new files too, and nothing else; lock.txt what is installed."""

import subprocess
import zipfile
from pathlib import Path

import pytest

from workbench.run import snapshot


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small workspace in git, with a file of every kind."""
    root = tmp_path / "work 空間"
    files = {
        "src/patchsets/tracked.py": "a = 1",
        "src/patchsets/changed.py": "b = 1",
        "src/patchsets/removed.py": "",
        "config/config.yaml": "seed: 0",
        "tests/test_it.py": "",
        "docs/page.md": "",
        "pyproject.toml": "",
        ".gitignore": "outputs\n.env\n__pycache__\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    git = ["git", "-C", str(root), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    (root / "src/patchsets/changed.py").write_text("b = 2")
    (root / "src/patchsets/removed.py").unlink()
    (root / "src/patchsets/new 新.py").write_text("c = 3")
    (root / "src/patchsets/__pycache__").mkdir()
    (root / "src/patchsets/__pycache__/x.pyc").write_bytes(b"x")
    (root / "config/data").mkdir()
    (root / "config/data/large.yaml").write_bytes(b"x" * (snapshot.LARGEST + 1))
    (root / "config/key.yaml").write_text("key: tops3cret")
    (root / ".env").write_text("A_TOKEN=tops3cret")
    (root / "outputs").mkdir()
    (root / "outputs/run.txt").write_text("")
    monkeypatch.setattr(snapshot, "ROOT", root)
    monkeypatch.setenv("SOME_TOKEN", "tops3cret")
    snapshot.code_archive.cache_clear()
    yield root
    snapshot.code_archive.cache_clear()


KEPT = {
    "src/patchsets/tracked.py",
    "src/patchsets/changed.py",
    "src/patchsets/new 新.py",
    "config/config.yaml",
}


@pytest.mark.parametrize("in_git", [True, False])
def test_the_code_with_git_and_without(workspace: Path, tmp_path: Path, in_git: bool) -> None:
    if not in_git:
        (workspace / ".git").rename(tmp_path / "no git")
    assert snapshot.keep_code(tmp_path / "code.zip", []) == []
    with zipfile.ZipFile(tmp_path / "code.zip") as archive:
        assert {*archive.namelist()} == KEPT | {"pyproject.toml", ".gitignore", "LEFT_OUT.txt"}
        assert archive.read("src/patchsets/changed.py") == b"b = 2"
    assert snapshot.left_out(tmp_path / "code.zip") == [
        f"config/data/large.yaml: larger than {snapshot.LARGEST} bytes",
        "config/key.yaml: it holds the value of a secret",
    ]


def test_what_was_unpacked_makes_the_same_archive(workspace: Path, tmp_path: Path) -> None:
    snapshot.keep_code(tmp_path / "code.zip", [])
    elsewhere = tmp_path / "elsewhere"
    zipfile.ZipFile(tmp_path / "code.zip").extractall(elsewhere)
    snapshot.ROOT = elsewhere
    snapshot.code_archive.cache_clear()
    (workspace / ".env").unlink()
    assert snapshot.keep_code(tmp_path / "again.zip", [], tmp_path / "code.zip") == []


def test_the_same_code_is_kept_once_and_other_code_is_named(workspace: Path, tmp_path: Path) -> None:
    first, second, third = (tmp_path / f"{name}.zip" for name in ("first", "second", "third"))
    snapshot.keep_code(first, [])
    assert snapshot.keep_code(second, [], first) == []
    assert second.stat().st_ino == first.stat().st_ino
    (workspace / "src/patchsets/tracked.py").write_text("a = 5")
    assert snapshot.keep_code(third, [], first) == []  # this process runs what it began with
    snapshot.code_archive.cache_clear()
    assert snapshot.keep_code(third, [], first) == ["src/patchsets/tracked.py"]
    assert third.stat().st_ino != first.stat().st_ino


def test_an_own_package_is_kept_and_an_installed_one_is_not(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "lib" / "mine_only"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "net.py").write_text("width = 3")
    (tmp_path / "lib" / "alone.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path / "lib")
    snapshot.keep_code(tmp_path / "code.zip", ["mine_only.", "alone.", "numpy.", "not_there."])
    with zipfile.ZipFile(tmp_path / "code.zip") as archive:
        own = {name for name in archive.namelist() if name.startswith("own/")}
    assert own == {"own/mine_only/__init__.py", "own/mine_only/net.py", "own/alone.py"}


def test_the_lock_has_hashes_where_they_are_known(tmp_path: Path) -> None:
    versions = {"numpy": _version("numpy"), "Made_Up": "1.0", "patchsets": "0.2.0", "uv": "1"}
    snapshot.keep_lock(tmp_path / "lock.txt", versions)
    text = (tmp_path / "lock.txt").read_text()
    assert snapshot.read_lock(tmp_path / "lock.txt") == {"numpy": _version("numpy"), "made-up": "1.0"}
    assert text.startswith(f"numpy=={_version('numpy')} \\\n    --hash=sha256:") and text.endswith(
        "made-up==1.0\n"
    )


def _version(name: str) -> str:
    return snapshot.read_lock(snapshot.ROOT / "requirements.lock")[name]
