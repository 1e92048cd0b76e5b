"""What the scripts share: a server, and pysftp connections to it, one per thread."""

import argparse
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import paramiko
import pysftp


@dataclass(frozen=True)
class Server:
    """Where to log in, as whom, and where the host's key is written down."""

    host: str
    port: int
    user: str
    key: Path
    known_hosts: Path

    def options(self) -> pysftp.CnOpts:
        """pysftp looks up the bare host, known_hosts says [host]:port for any port but 22."""
        name = self.host if self.port == 22 else f"[{self.host}]:{self.port}"
        known = paramiko.HostKeys(str(self.known_hosts)).lookup(name)
        if not known:
            raise paramiko.SSHException(f"{self.known_hosts} has no key for {name}")
        options = pysftp.CnOpts(knownhosts=str(self.known_hosts))
        options.hostkeys = paramiko.HostKeys()
        for kind, key in known.items():
            options.hostkeys.add(self.host, kind, key)
        return options


class Connection(pysftp.Connection):
    """pysftp knows RSA and DSS keys only; paramiko knows the others too."""

    def _set_authentication(
        self, password: str | None, private_key: str, private_key_pass: str | None
    ) -> None:
        self._tconnect["pkey"] = paramiko.PKey.from_path(private_key, private_key_pass)


class Connections:
    """Each thread logs in when it first needs to and keeps its connection until the end."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._options = server.options()
        self._local = threading.local()
        self._all: list[Connection] = []

    def get(self) -> Connection:
        """This thread's connection."""
        if not hasattr(self._local, "connection"):
            server = self._server
            self._local.connection = Connection(
                server.host,
                port=server.port,
                username=server.user,
                private_key=str(server.key),
                cnopts=self._options,
            )
            self._all.append(self._local.connection)
        return self._local.connection

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for connection in self._all:
            connection.close()


def add_server_arguments(parser: argparse.ArgumentParser) -> None:
    """What both SFTP scripts take."""
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, default=22)
    parser.add_argument("--user", required=True)
    parser.add_argument("--key", type=Path, required=True, help="private key file")
    parser.add_argument("--known-hosts", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=9)


def server_from(arguments: argparse.Namespace) -> Server:
    """The server that the arguments name."""
    return Server(
        arguments.host, arguments.port, arguments.user, arguments.key, arguments.known_hosts
    )
