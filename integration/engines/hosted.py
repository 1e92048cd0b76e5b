"""What the engines under comparison have in common: each is a server on a free port of loopback whose
files lie in a folder of its own, and which ends with its whole group of processes."""

import contextlib
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request

ACCOUNT = "123456789012"
REGION = "us-east-1"
START_SECONDS = 60


class Engine:
    """A running server."""

    # Makes a function, if that is not done by the server's own API.
    place = None

    def __init__(self, url, folder):
        self.url, self.folder = url, folder


def free_port():
    """A port of loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def started(command, environment, folder, port):
    """Runs a server until the end of the block; answers its URL."""
    environment = {"PATH": os.environ["PATH"], "HOME": folder, "TMPDIR": folder, **environment}
    url = f"http://127.0.0.1:{port}"
    place = os.path.join(folder, "server.log")
    with open(place, "wb") as log:
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
        try:
            if not answers(url, process):
                with open(place, encoding="utf-8", errors="replace") as text:
                    raise RuntimeError(f"no answer from {command}:\n{text.read()[-4000:]}")
            yield url
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait()


def answers(url, process):
    """Waits until something answers there; false if nothing does."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            time.sleep(0.05)
    return False
