"""Delivers files by SFTP the way a Python team does: pysftp and a pool of threads.

Each thread has one connection and takes whole files. A file travels under a temporary name, pysftp
confirms its size, and then it is renamed. A local folder stands for every file in it.
"""

import argparse
import posixpath
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paramiko
import pysftp

from connections import Connections, add_server_arguments, server_from


def upload(connection: pysftp.Connection, path: Path, directory: str) -> str:
    """Uploads one file under a temporary name, renames it and returns its remote path."""
    remote = posixpath.join(directory, path.name)
    temporary = posixpath.join(directory, f".{path.name}.part")
    connection.put(str(path), temporary)
    # pysftp's own `rename` fails if an earlier delivery has the name.
    connection.sftp_client.posix_rename(temporary, remote)
    return remote


def files_of(path: Path) -> list[Path]:
    """The files in a folder, or the file itself."""
    return sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_server_arguments(parser)
    parser.add_argument("--to", required=True, metavar="REMOTE_DIR")
    parser.add_argument("--plain", action="store_true", help="without a temporary name")
    parser.add_argument("paths", nargs="+", type=Path, metavar="LOCAL_PATH")
    arguments = parser.parse_args()
    with (
        Connections(server_from(arguments)) as connections,
        ThreadPoolExecutor(arguments.threads) as pool,
    ):

        def deliver(path: Path) -> None:
            if arguments.plain:
                connections.get().put(str(path), posixpath.join(arguments.to, path.name))
            else:
                upload(connections.get(), path, arguments.to)

        list(pool.map(deliver, [file for path in arguments.paths for file in files_of(path)]))


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError, paramiko.SSHException, pysftp.ConnectionException) as error:
        sys.exit(f"Not everything was uploaded: {error}")
