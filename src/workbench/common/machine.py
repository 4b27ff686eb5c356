"""What is ready on this machine, and what is not: torch, GPU, disks, shared memory, `.env`, ports, Docker."""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from workbench.common.cache import cache_folder
from workbench.common.redaction import redact
from workbench.common.workspace import ROOT, load_env, read_env

LEAST_DISK, LEAST_SHARED = 1e9, 128 * 2**20  # bytes
PORTS = ("MLFLOW_PORT", "TENSORBOARD_PORT", "JUPYTER_PORT")
SECONDS = 10  # that another program may take to answer


class Finding(NamedTuple):
    """One line of a report: `wrong` is what must be put right, a `note` what one may want to know."""

    mark: Literal["ok", "note", "wrong"]
    what: str
    said: str


def examine_machine(env_file: Path = ROOT / ".env") -> Iterator[Finding]:
    """Look at everything in turn; nothing is changed."""
    yield from _torch()
    yield from _env(env_file)
    load_env(env_file)
    for what, folder in {"outputs": ROOT / "outputs", "cache": cache_folder()}.items():
        yield _disk(what, folder)
    yield from _shared_memory(Path("/dev/shm"))
    yield from map(_port, PORTS)
    yield _docker()


def _torch() -> Iterator[Finding]:
    try:
        import torch

        threads = torch.get_num_threads()
        torch.ones(8, 8) @ torch.ones(8, 8)
    except Exception as error:
        yield Finding("wrong", "torch", f"it does not work ({error}); make installs it anew")
        return
    yield Finding("ok", "torch", f"{torch.__version__}, {threads} threads")
    for place in range(torch.cuda.device_count()):
        name, memory = torch.cuda.get_device_name(place), torch.cuda.mem_get_info(place)[1]
        try:
            (torch.ones(8, 8, device=place) @ torch.ones(8, 8, device=place)).sum().item()
            yield Finding("ok", "GPU", f"{name}, {memory / 2**30:.0f} GiB")
        except RuntimeError as error:
            yield Finding("wrong", "GPU", f"{name}: {str(error).splitlines()[0]}")
    if torch.cuda.device_count():
        return
    listed = _said_by("nvidia-smi", "-L")
    if listed and listed.startswith("GPU"):
        yield Finding(
            "wrong", "GPU", "nvidia-smi lists one, torch sees none: its build and driver do not fit"
        )
    else:
        yield Finding("note", "GPU", "none; trainings run on the CPU")


def _said_by(*command: str) -> str | None:
    """Return what a program prints; None where there is none, or it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _env(path: Path) -> Iterator[Finding]:
    if not path.is_file():
        yield Finding("note", ".env", "none; what may stand in it is in .env.default")
        return
    from dotenv.parser import parse_stream

    with path.open(encoding="utf-8") as file:
        bad = [str(line.original.line) for line in parse_stream(file) if line.error]
    if bad:
        yield Finding("wrong", ".env", f"not NAME=value in line {', '.join(bad)}")
    values = {**read_env(path), **os.environ}
    dataset = values.get("DATASET")
    if dataset and not Path(dataset).expanduser().is_dir():
        yield Finding("wrong", "DATASET", f"there is no folder {dataset}")
    if not bad:
        yield Finding("ok", ".env", ", ".join(read_env(path)) or "it sets nothing")
    server = urlsplit(values.get("MLFLOW_TRACKING_URI", ""))
    if server.hostname and server.scheme in ("http", "https"):
        yield _server(server.hostname, server.port or {"http": 80, "https": 443}[server.scheme])


def _server(host: str, port: int) -> Finding:
    what = "MLFLOW_TRACKING_URI"
    try:
        socket.create_connection((host, port), timeout=SECONDS).close()
    except OSError as error:
        return Finding("wrong", what, redact(f"nothing answers at {host}:{port} ({error.strerror or error})"))
    return Finding("ok", what, f"{host}:{port} answers")


def _disk(what: str, folder: Path) -> Finding:
    there = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(there).free
    said = f"{folder}, {free / 1e9:.1f} GB free"
    if not os.access(there, os.W_OK):
        return Finding("wrong", what, f"{said}; it cannot be written")
    return Finding("wrong" if free < LEAST_DISK else "ok", what, said)


def _shared_memory(place: Path) -> Iterator[Finding]:
    if not place.is_dir():  # as on macOS
        return
    total = shutil.disk_usage(place).total
    said = f"{total / 2**20:.0f} MiB"
    if total >= LEAST_SHARED:
        yield Finding("ok", "shared memory", said)
    else:
        more = "data workers hand on batches through it: a larger SHM_SIZE in a container, or no workers"
        yield Finding("wrong", "shared memory", f"{said}; {more}")


def _port(name: str) -> Finding:
    default = read_env(ROOT / ".env.default").get(name, "0")
    given = os.environ.get(name) or default
    if not (given.isascii() and given.isdigit() and int(given) < 2**16):
        return Finding("wrong", name, f"{given} is no port (0 to 65535)")
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that was just left is free
        try:
            tried.bind(("127.0.0.1", int(given)))
        except OSError as error:
            said = f"{given} cannot be had ({error.strerror}); a server may run there, 0 takes any other"
            return Finding("note", name, said)
    return Finding("ok", name, f"{given} is free")


def _docker() -> Finding:
    if shutil.which("docker") is None:
        return Finding("note", "docker", "not on this machine; only docker/*.sh need it")
    said = _said_by("docker", "info", "--format", "{{json .}}")
    try:
        engine = json.loads(said or "{}")
    except ValueError:
        engine = {}
    if not engine.get("ServerVersion") or engine.get("ServerErrors"):  # old clients fail with exit code 0
        return Finding("note", "docker", "its engine does not answer; only docker/*.sh need it")
    return Finding("ok", "docker", f"engine {engine['ServerVersion']}")
