"""The scripts on a real engine, with an image of two megabytes in the place of the workspace's."""

import io
import os
import shutil
import signal
import socket
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest
from engine import EngineHost, docker, wait_until
from pretend_host import ROOT

IMAGE, CONTAINER = "patchsets-test-tiny", f"patch_sets_test_{os.getpid()}"
TOOLS = ["sh", "cat", "env", "grep", "httpd", "id", "ls", "printf", "seq", "setsid", "sleep", "stty", "touch"]
SCRIPTS = {
    "fish": '#!/bin/sh\nexec sh "$@"\n',
    # Like the real one it has a process of its own beside it.
    "tensorboard": '#!/bin/sh\nsleep 1000 &\nexec httpd -f -p "0.0.0.0:$6"\n',
}

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def static_busybox() -> str | None:
    """Return a busybox that needs no library, if this machine has one."""
    path = shutil.which("busybox")
    if path is None:
        return None
    libraries = subprocess.run(["ldd", path], capture_output=True, text=True)
    return path if "=>" not in libraries.stdout else None


def file(archive: tarfile.TarFile, name: str, content: bytes, mode: int = 0o755) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))


def tiny_root(busybox: str) -> bytes:
    """Return the files of the image as a tar archive."""
    uid, gid = os.getuid(), os.getgid()
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        file(archive, "bin/busybox", Path(busybox).read_bytes())
        for tool in TOOLS:
            link = tarfile.TarInfo(f"bin/{tool}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
        for name, text in SCRIPTS.items():
            file(archive, f"bin/{name}", text.encode())
        file(archive, "etc/passwd", f"dev:x:{uid}:{gid}::/home/dev:/bin/sh\n".encode(), 0o644)
        for folder in ("home/dev", "home/dev/.history", "tmp"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, 0o755, uid, gid
            archive.addfile(entry)
    return content.getvalue()


@pytest.fixture(scope="module")
def image(engine: str) -> Iterator[str]:
    """The tiny image, for as long as these tests run."""
    busybox = static_busybox()
    if engine:
        pytest.skip(engine)
    if busybox is None:
        pytest.skip("the tiny image needs a static busybox (Debian: busybox-static)")
    lines = ["USER dev", "WORKDIR /workspace", "ENV PATH=/bin", f"LABEL patchsets.uid={os.getuid()}"]
    changes = [word for line in lines for word in ("--change", line)]
    subprocess.run(
        ["docker", "import", *changes, "-", IMAGE], input=tiny_root(busybox), check=True, capture_output=True
    )
    yield IMAGE
    docker("image", "rm", IMAGE)


@pytest.fixture
def host(image: str, tmp_path: Path) -> Iterator[EngineHost]:
    """A workspace and its scripts; no container is left of them."""
    workspace = tmp_path / 'my "sets", ü'
    shutil.copytree(ROOT / "docker", workspace / "docker")
    host = EngineHost(workspace, image, CONTAINER)
    yield host
    host.remove()


def test_mounts_user_variables_ports_and_exit_codes(host: EngineHost) -> None:
    data = host.workspace / "data"
    data.mkdir()
    (host.workspace / ".env").write_text('export DATASET=data\nNEPTUNE_PROJECT="a b#c"  # mine\n')
    done = host("run.sh")
    assert done.returncode == 0 and host.state() == "running", done.stderr

    assert host("exec.sh", "touch", "/workspace/new", "/dataset/new").returncode == 0
    for folder in (host.workspace, data):
        assert (folder / "new").stat().st_uid == os.getuid()
    (host.workspace / "from_host").touch()
    assert "from_host" in host("exec.sh", "ls").stdout

    variables = host("exec.sh", "env").stdout.splitlines()
    assert "NEPTUNE_PROJECT=a b#c" in variables and "DATASET=/dataset" in variables
    assert host("exec.sh", "id", "-un").stdout == "dev\n"
    assert host("exec.sh", "printf", "%s|", "a  b", "", "$HOME", "*").stdout == "a  b||$HOME|*|"
    assert host("exec.sh", "sh", "-c", "exit 9").returncode == 9
    published = docker("port", host.container).splitlines()
    assert len(published) == 3
    assert all(" -> 127.0.0.1:" in line for line in published)

    docker("stop", host.container)
    assert (
        docker("container", "inspect", "--format", "{{.State.ExitCode}}", host.container) != "137"
    )  # not killed


def test_a_short_command_on_a_terminal(host: EngineHost) -> None:
    terminal = host.terminal("run.sh", "sh", "-c", "stty size; id -un; exit 5")
    terminal.expect_exact("dev")
    terminal.expect(pexpect.EOF)
    assert terminal.wait() == 5
    assert host.state() == "exited"


def test_leave_return_and_end(host: EngineHost) -> None:
    terminal = host.terminal("run.sh")
    terminal.expect(r"/workspace [$#] ")
    terminal.send("\x10\x11")  # ctrl-p ctrl-q
    terminal.expect_exact("is running: docker/attach.sh")
    terminal.expect(pexpect.EOF)
    assert terminal.wait() == 0 and host.state() == "running"

    terminal = host.terminal("attach.sh")
    terminal.send("\r")
    terminal.expect(r"/workspace [$#] ")
    terminal.send("exit 3\r")
    terminal.expect(pexpect.EOF)
    assert terminal.wait() == 3 and host.state() == "exited"


def test_a_port_in_use_leaves_no_container(host: EngineHost) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = host("run.sh", TENSORBOARD_PORT=str(port))
    assert done.returncode == 1
    assert f"run.sh: port {port} is taken" in done.stderr.splitlines()[-1]
    assert host.state() == ""


def close_the_terminal(terminal: pexpect.spawn) -> None:
    terminal.close(force=False)


ENDS: dict[str, Callable[[pexpect.spawn], None]] = {
    "ctrl-c": lambda terminal: terminal.sendintr(),
    "terminal closed": close_the_terminal,
    "terminated": lambda terminal: terminal.kill(signal.SIGTERM),
    "killed": lambda terminal: terminal.kill(signal.SIGKILL),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_server_leaves_no_process_and_no_port(host: EngineHost, end: str) -> None:
    host("run.sh")
    terminal = host.terminal("tensorboard.sh")
    terminal.expect(r"TensorBoard: (http://127.0.0.1:\d+)")
    wait_until(lambda: "httpd" in str(host.processes()), "the server starts")
    again = host("tensorboard.sh")
    assert "something already listens on port 6006" in again.stderr

    ENDS[end](terminal)
    wait_until(lambda: not host.processes(), "the server goes")
    terminal.close()
    assert "0A" not in host("exec.sh", "grep", ":1776 ", "/proc/net/tcp").stdout  # 0x1776 is 6006


def test_the_tiny_servers_page_is_served_where_the_script_says(host: EngineHost) -> None:
    (host.workspace / "index.html").write_text("hello")
    host("run.sh")
    with host.start("tensorboard.sh") as script:
        wait_until(lambda: "httpd" in str(host.processes()), "the server starts")
        address, port = host.address(6006).split(":")
        with socket.create_connection((address, int(port))) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert b"200 OK" in connection.recv(100)
        script.terminate()
        assert script.wait() == 143
    assert not host.processes()
