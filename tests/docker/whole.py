"""What the whole thing needs: an engine, a base image, a user who is not root, a workspace of that user's."""

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from engine import docker, engine_answers, wait_until
from pretend_host import ROOT

USER = (
    65534  # nobody stands in for a researcher where the tests run as root: the devcontainer CLI wants a name
)
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


@contextmanager
def engine(may_start: bool) -> Iterator[str]:
    """Use the engine that answers, or start one of our own; give the reason where there is none."""
    if engine_answers():
        yield ""
        return
    if not may_start:
        yield "no Docker engine answers"
        return
    if os.getuid() != 0 or not shutil.which("dockerd"):
        yield "no Docker engine answers, and root's dockerd is not here to be started"
        return
    if subprocess.run(["pgrep", "-x", "dockerd"], capture_output=True).returncode == 0:
        yield "a dockerd runs but does not answer; a second one beside it would take its network away"
        return
    folder = Path(tempfile.mkdtemp(prefix="patchsets-engine-"))
    places = [f"--data-root={folder}/data", f"--exec-root={folder}/exec", f"--pidfile={folder}/pid"]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(["dockerd", *places], stdout=log, stderr=log) as daemon,
    ):
        wait_until(engine_answers, f"dockerd answers ({folder / 'log'})")
        try:
            yield ""
        finally:
            daemon.terminate()
    shutil.rmtree(folder)


def debootstrapped(folder: Path, name: str) -> str:
    """Make a base image without a registry: Debian, trusting whom this machine trusts."""
    subprocess.run(
        ["debootstrap", "--variant=minbase", "bookworm", folder / "base"], check=True, capture_output=True
    )
    own = Path("/usr/local/share/ca-certificates")
    shutil.copytree(own, folder / "base" / own.relative_to("/"), dirs_exist_ok=True)
    variables = f"ENV PIP_CERT={BUNDLE} SSL_CERT_FILE={BUNDLE}"
    with subprocess.Popen(["tar", "-C", folder / "base", "-c", "."], stdout=subprocess.PIPE) as tar:
        subprocess.run(["docker", "import", "--change", variables, "-", name], stdin=tar.stdout, check=True)
    shutil.rmtree(folder / "base")
    return name


@contextmanager
def wheels() -> Iterator[dict[str, str]]:
    """Give build arguments for a CPU build: from this machine's folder of wheels, if it has one."""
    folder = os.environ.get("PIP_FIND_LINKS", "")
    if not Path(folder).is_dir() or not folder:
        yield {"TORCH_BACKEND": "cpu"}
        return
    gateway = docker("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}")
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with ThreadingHTTPServer((gateway or "172.17.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address, port = server.server_address[:2]
        yield {"PIP_FIND_LINKS": f"http://{address!s}:{port}/"}
        server.shutdown()


def checkout(folder: Path, user: int, env: str) -> Path:
    """Copy the workspace as git would, to a folder of the user's, and write its .env."""
    workspace = folder / "PatchSets"
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    for name in subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\0"
    ):
        if name and (ROOT / name).is_file():
            (workspace / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, workspace / name)
    (workspace / ".env").write_text(env)
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, user, user, follow_symlinks=False)
    return workspace
