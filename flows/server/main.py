"""The process of a server: `python -m tokenmill.flows.server.main DESCRIPTOR KIND`.

DESCRIPTOR is a socket that listens already, so that a port that is taken is found before a server starts. KIND is "embedded"
(without Prefect's page and without services for schedules) or "full". Settings come by environment; `start` makes it.
Guarantee: the process ends when its standard input does, that is, with the process that started it, even by SIGKILL.
Cost: 3 seconds until it answers, most of them imports; 4 more where the database is new.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenmill.flows.server.guard import Guard

GRACE_SECONDS = 5
"""How long requests that are being answered hold up the end."""


def main() -> None:
    """Answer requests until SIGTERM, or until standard input ends."""
    descriptor, kind = int(sys.argv[1]), sys.argv[2]
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # A quarter of the time until the server answers would go into looking for garbage among what is being imported.
    gc.disable()
    import uvicorn
    from prefect.settings import PREFECT_SERVER_API_KEEPALIVE_TIMEOUT

    config = uvicorn.Config(
        _application(embedded=kind == "embedded"),
        log_level="error",
        lifespan="on",
        proxy_headers=False,
        timeout_keep_alive=PREFECT_SERVER_API_KEEPALIVE_TIMEOUT.value(),
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    gc.freeze()
    gc.enable()
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


def _application(*, embedded: bool) -> Guard:
    from prefect.server.api.server import create_app
    from prefect.settings import (
        PREFECT_SERVER_API_AUTH_STRING,
        PREFECT_SERVER_API_HOST,
        PREFECT_SERVER_CORS_ALLOWED_ORIGINS,
    )

    from tokenmill.flows.server.guard import LOOPBACK, Guard
    from tokenmill.flows.server.ours import OurFlowAlone
    from tokenmill.flows.server.secret import authorization
    from tokenmill.flows.server.start import base_path

    host = str(PREFECT_SERVER_API_HOST.value()).lower()
    wide = host not in LOOPBACK
    api = base_path()
    return Guard(
        app=OurFlowAlone(create_app(ephemeral=embedded, final=True), api),
        api=api,
        authorization=authorization(str(PREFECT_SERVER_API_AUTH_STRING.value())),
        hosts=LOOPBACK | {host} | ({socket.gethostname().lower(), socket.getfqdn().lower()} if wide else set()),
        origins=frozenset(PREFECT_SERVER_CORS_ALLOWED_ORIGINS.value().split(",")),
        any_address=wide,
    )


def _end_with_parent() -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 1024):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(2 * GRACE_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
