"""MiniStack as an engine under comparison: functions are processes of this machine, waits and delays
pass a thousand times as fast, but in their order."""

import contextlib
import sys
from pathlib import Path

import hosted

NAME = "ministack"


@contextlib.contextmanager
def server(folder):
    """Starts the server with its files in `folder`."""
    port = hosted.free_port()
    environment = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_ACCOUNT_ID": hosted.ACCOUNT,
        "SFN_WAIT_SCALE": "0.001",
        "LAMBDA_EXECUTOR": "local",
    }
    command = [str(Path(sys.executable).parent / "ministack")]
    with hosted.started(command, environment, folder, port) as url:
        yield hosted.Engine(url, folder)
