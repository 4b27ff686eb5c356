"""The code and the packages of a run, kept in its folder: src/repeat.py runs it from these two alone.

code.zip    what the run imports or reads, new files too; not tests, documents, notebooks or data
lock.txt    the installed packages by exact version, hashes where the workspace's own lock has them
"""

import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from io import BytesIO
from pathlib import Path

from workbench.common.files import appearing_whole
from workbench.common.redaction import holds_secret
from workbench.common.workspace import ROOT

CODE, LOCK = "code.zip", "lock.txt"
LEFT_OUT = "LEFT_OUT.txt"  # in an archive: what is too large for it, or holds a secret
PARTS = ("src", "config", "hydra")  # of the workspace; the files beside them are kept too
OWN = "own"  # the folder in code.zip of packages from outside the workspace
LARGEST = 1_000_000  # bytes: a larger file is data
NEVER = re.compile(
    r"^(LEFT_OUT\.txt|[^/]*\.md|LICENSE)$|(^|/)(\.env[^/]*|__pycache__|[^/]*\.egg-info|\.git|\.venv)(/|$)"
)
PIN = re.compile(r"^([\w.-]+)==([^\s\\]+)((?: \\\n    --hash=\S+)*)", re.MULTILINE)  # of lock.txt
NOT_LOCKED = ("patchsets", "pip", "uv")  # the workspace itself, and what installs packages
SAME_TIME = (1980, 1, 1, 0, 0, 0)  # so that the same files make the same archive


def keep_code(path: Path, trusted: Sequence[str], earlier: Path | None = None) -> list[str]:
    """Write the code as it is now; where `earlier`, an archive, holds the same, be another name of it.

    Args:
        path: the archive to write.
        trusted: prefixes of targets, whose packages are kept with the workspace.
        earlier: the archive of the run's first start, or of the sweep it is a trial of.

    Returns the files that differ from the earlier archive; none where there is none.
    """
    _put(path, code_archive(tuple(trusted)), earlier)
    return differing_files(earlier, path) if earlier is not None and earlier.is_file() else []


def differing_files(one: Path, other: Path) -> list[str]:
    """Return the names of the files that two archives do not have alike."""
    here, there = check_sums(one), check_sums(other)
    return sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))


def check_sums(path: Path) -> dict[str, str]:
    """Return the CRC-32 of each file in an archive; none where there is no archive."""
    if not path.is_file():
        return {}
    with zipfile.ZipFile(path) as archive:
        return {each.filename: f"{each.CRC:08x}" for each in archive.infolist()}


@cache  # a process runs the code that it began with, whatever becomes of the files
def code_archive(trusted: tuple[str, ...]) -> bytes:
    """Return the archive of the code."""
    before = ROOT / LEFT_OUT  # of code that was unpacked
    left_out = before.read_text(encoding="utf-8").splitlines() if before.is_file() else []
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, file in sorted({**_workspace_files(), **_own_files(trusted)}.items()):
            if file.stat().st_size > LARGEST:
                left_out.append(f"{name}: larger than {LARGEST} bytes")
                continue
            content = file.read_bytes()
            if holds_secret(content.decode(errors="replace")):
                left_out.append(f"{name}: it holds the value of a secret")
            else:
                _add(archive, name, content)
        if left_out:
            _add(archive, LEFT_OUT, "\n".join([*left_out, ""]).encode())
    return buffer.getvalue()


def left_out(path: Path) -> list[str]:
    """Return what an archive says it does not hold, a line for each file."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        return archive.read(LEFT_OUT).decode().splitlines() if LEFT_OUT in names else []


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, SAME_TIME), content, zipfile.ZIP_DEFLATED)


def _put(path: Path, content: bytes, earlier: Path | None) -> None:
    """Write a file, or give one that holds the same a second name."""
    if earlier == path and path.is_file() and path.read_bytes() == content:
        return
    with appearing_whole(path) as temporary:
        temporary.unlink(missing_ok=True)
        if earlier is not None and earlier.is_file() and earlier.read_bytes() == content:
            with suppress(OSError):  # a disk without links
                os.link(earlier, temporary)
                return
        temporary.write_bytes(content)


def _workspace_files() -> dict[str, Path]:
    """Return the workspace's files by their names in the archive: those git knows or would, else all."""
    listed = _listed_by_git()
    names = _walked(ROOT) if listed is None else listed
    return {_shown(name): ROOT / name for name in names if _is_kept(name) and (ROOT / name).is_file()}


def _listed_by_git() -> list[str] | None:
    options = ["-z", "--cached", "--others", "--exclude-standard", "--", *PARTS, ":(glob)*"]
    command = ["git", "-C", str(ROOT), "ls-files", *options]
    if not (ROOT / ".git").exists():  # a folder within another checkout is nothing to that one
        return None
    try:
        done = subprocess.run(command, capture_output=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return [os.fsdecode(name) for name in done.stdout.split(b"\0") if name]


def _walked(root: Path) -> Iterator[str]:
    yield from (path.name for path in root.iterdir() if path.is_file())
    for part in PARTS:
        yield from (path.relative_to(root).as_posix() for path in (root / part).rglob("*"))


def _shown(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _is_kept(name: str) -> bool:
    return NEVER.search(name) is None


def _own_files(trusted: Iterable[str]) -> dict[str, Path]:
    """Return the files of trusted packages that are neither in the workspace nor installed."""
    found: dict[str, Path] = {}
    for package in {prefix.split(".")[0] for prefix in trusted} - {""}:
        place = _place_of(package)
        if place is None or place.is_relative_to(ROOT / "src") or place.is_relative_to(_installed()):
            continue
        for file in [place] if place.is_file() else sorted(place.rglob("*")):
            name = file.relative_to(place.parent).as_posix()
            if file.is_file() and _is_kept(name):
                found[f"{OWN}/{_shown(name)}"] = file
    return found


def _place_of(package: str) -> Path | None:
    """Return the folder or file that a package is imported from."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    if spec is None or (spec.origin is None and not spec.submodule_search_locations):
        return None
    places = list(spec.submodule_search_locations or [str(spec.origin)])
    return Path(places[0]).resolve()


def _installed() -> Path:
    return Path(sysconfig.get_path("purelib")).resolve()


def keep_lock(path: Path, packages: dict[str, str], earlier: Path | None = None) -> None:
    """Write `name==version` of each installed package, with its hashes where requirements.lock has them."""
    known, own = _hashed_lines(), {*NOT_LOCKED, *_from_no_index()}
    lines = []
    for name, version in packages.items():
        pin = f"{plain_name(name)}=={version}"
        if plain_name(name) not in own:
            lines.append(known.get(pin, pin))
    _put(path, "\n".join([*lines, ""]).encode(), earlier)


def read_lock(path: Path) -> dict[str, str]:
    """Return the versions that a lock.txt names, by package; none where there is no such file."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return {name: version for name, version, _ in PIN.findall(text)}


def _from_no_index() -> set[str]:
    """Return the packages that were installed from a folder or an address, which no index has."""
    found = (path.parent for entry in sys.path for path in Path(entry).glob("*.dist-info/direct_url.json"))
    return {plain_name(folder.name.split("-", 1)[0]) for folder in found}


def _hashed_lines() -> dict[str, str]:
    """Return what requirements.lock says of each package, by `name==version`, without its markers."""
    try:
        text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    except OSError:
        return {}
    found = re.findall(r"^([\w.-]+==[^\s;]+)[^\\\n]*\\\n((?:    --hash=\S+(?: \\)?\n?)+)", text, re.MULTILINE)
    return {pin: f"{pin} \\\n{hashes.rstrip()}" for pin, hashes in found}


def plain_name(name: str) -> str:
    """Return a package's name as every tool may spell it: PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()
