"""localstack-core as an engine under comparison, in host mode: no container, no account, a free port of
loopback."""

import contextlib
import json
import os
import shutil
import sys
from pathlib import Path

import hosted

NAME = "localstack"
HERE = Path(__file__).resolve().parent


class Engine(hosted.Engine):
    """A running server whose functions are files that its plugin reads."""

    def place(self, name, environment):
        """Makes a function."""
        (Path(self.folder) / "functions" / f"{name}.json").write_text(json.dumps(environment))


@contextlib.contextmanager
def server(folder):
    """Starts the server with its files in `folder`."""
    plugin = Path(folder) / "conformance-1.dist-info"
    plugin.mkdir()
    (plugin / "METADATA").write_text("Metadata-Version: 2.1\nName: conformance\nVersion: 1\n")
    (plugin / "entry_points.txt").write_text(
        "[localstack.aws.provider]\n"
        "lambda:external = localstack_plugin:external\n"
        "[localstack.hooks.on_infra_start]\n"
        "conformance = localstack_plugin:jsonata_hook\n"
    )
    for name in ["localstack_plugin.py", "script.py"]:
        shutil.copy(HERE / name, folder)
    (Path(folder) / "functions").mkdir()
    port = hosted.free_port()
    environment = {
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "PROVIDER_OVERRIDE_LAMBDA": "external",
        "CONFORMANCE_FUNCTIONS": os.path.join(folder, "functions"),
        "PYTHONPATH": folder,
    }
    command = [sys.executable, "-m", "localstack.runtime.main"]
    with hosted.started(command, environment, folder, port) as url:
        yield Engine(url, folder)
