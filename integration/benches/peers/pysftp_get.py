"""Picks up files by SFTP the way a Python team does: pysftp and a pool of threads.

Each thread has one connection and takes whole files. A remote path that ends in "/" stands for
every regular file in that folder; /dev/null takes a single file and keeps nothing.
"""

import argparse
import posixpath
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paramiko
import pysftp

from connections import Connections, add_server_arguments, server_from


def files_in(connection: pysftp.Connection, folder: str) -> list[str]:
    """The paths of the regular files in a folder, not below it."""
    return [
        posixpath.join(folder, entry.filename)
        for entry in connection.listdir_attr(folder)
        if stat.S_ISREG(entry.st_mode)
    ]


def download(connection: pysftp.Connection, path: str, into: Path) -> None:
    """One file into a folder, or into /dev/null."""
    if into == Path("/dev/null"):
        # `get` would compare sizes afterwards, and nothing has a size there.
        with into.open("wb") as nowhere:
            connection.getfo(path, nowhere)
    else:
        connection.get(path, str(into / posixpath.basename(path)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_server_arguments(parser)
    parser.add_argument("--into", type=Path, required=True, metavar="DIR")
    parser.add_argument("paths", nargs="+", metavar="REMOTE_PATH")
    arguments = parser.parse_args()
    with (
        Connections(server_from(arguments)) as connections,
        ThreadPoolExecutor(arguments.threads) as pool,
    ):

        def listed(path: str) -> list[str]:
            return files_in(connections.get(), path) if path.endswith("/") else [path]

        paths = [file for found in pool.map(listed, arguments.paths) for file in found]
        if arguments.into == Path("/dev/null") and len(paths) != 1:
            raise OSError(f"/dev/null takes one file, here are {len(paths)}")
        list(pool.map(lambda path: download(connections.get(), path, arguments.into), paths))


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError, paramiko.SSHException, pysftp.ConnectionException) as error:
        sys.exit(f"Not everything was downloaded: {error}")
