"""AsyncSSH's SFTP server, which shares no line with the other servers of the tests.

asyncssh_server.py PORT HOST_KEY AUTHORIZED_KEYS plain|read_only|unprivileged
"""

import asyncio
import os
import sys

import asyncssh

NOBODY = 65534


class ReadOnly(asyncssh.SFTPServer):
    """Refuses whatever changes something, as a subclass of a partner's would."""

    def open(self, path, pflags, attrs):
        if pflags & ~asyncssh.FXF_READ:
            raise asyncssh.SFTPPermissionDenied("read only")
        return super().open(path, pflags, attrs)

    def refuse(self, *_):
        raise asyncssh.SFTPPermissionDenied("read only")

    setstat = lsetstat = remove = mkdir = rmdir = rename = posix_rename = refuse


class Unprivileged(asyncssh.SFTPServer):
    """Gives up root's rights once somebody is logged in: before, Python may live where only root reads."""

    def __init__(self, chan):
        super().__init__(chan)
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)


async def main():
    port, host_key, authorized, case = sys.argv[1:]
    factory = {"read_only": ReadOnly, "unprivileged": Unprivileged}.get(case, True)
    await asyncssh.listen(
        "127.0.0.1",
        int(port),
        server_host_keys=[host_key],
        authorized_client_keys=authorized,
        sftp_factory=factory,
        allow_scp=False,
    )
    await asyncio.Event().wait()


asyncio.run(main())
