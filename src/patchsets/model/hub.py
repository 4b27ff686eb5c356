"""Files of a hub of models: from its cache, or downloaded; a hub that cannot be reached is told at once."""

import os
import socket
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from workbench.common.errors import ConfigError

HUB = "https://huggingface.co"
PATIENCE = 1.5  # seconds in which a hub has to answer


def fetch(name: str, where: str, files: list[str]) -> Path:
    """Return a folder with files of a model of the hub, from its cache or downloaded.

    Raises ConfigError that begins with `where`, at once where the hub cannot be reached.
    """
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(huggingface_hub.snapshot_download(name, local_files_only=True, allow_patterns=files))
    except LocalEntryNotFoundError:
        pass
    except HFValidationError as error:
        raise ConfigError(f"{where}: there is no such folder, and no model of a hub is named so") from error
    cache = huggingface_hub.constants.HF_HUB_CACHE
    endpoint = os.environ.get("HF_ENDPOINT", HUB).rstrip("/")
    if huggingface_hub.constants.HF_HUB_OFFLINE or not answers(endpoint):
        raise ConfigError(
            f"{where}: {endpoint} cannot be reached, and it is not in {cache}; "
            "download it where there is a network, and copy that folder or name it: hf:<folder>"
        )
    try:
        got = huggingface_hub.snapshot_download(name, endpoint=endpoint, allow_patterns=files)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        line = " ".join(str(error).split())[:200]
        raise ConfigError(f"{where}: {endpoint} does not give it: {line}") from error
    return Path(got)


def answers(address: str) -> bool:
    """Tell whether a web server, or the proxy before it, takes connections; known within PATIENCE."""
    parts = urlsplit(address)
    proxy = getproxies().get(parts.scheme)
    if proxy and not proxy_bypass(parts.netloc):
        parts = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    port = parts.port or {"https": 443}.get(parts.scheme, 80)
    reached: list[bool] = []

    def connect() -> None:
        try:
            socket.create_connection((parts.hostname or "", port), PATIENCE).close()
            reached.append(True)
        except OSError:
            pass

    thread = Thread(target=connect, daemon=True)  # a name server may take longer than any timeout says
    thread.start()
    thread.join(PATIENCE)
    return bool(reached)
