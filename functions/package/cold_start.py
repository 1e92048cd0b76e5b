"""Measures a function's start: from its process to its first request for an event.

That is the part of a cold start that is ours; loading the package and the sandbox are Lambda's.
"""

import os
import socket
import statistics
import subprocess
import time

NEXT = b"GET /2018-06-01/runtime/invocation/next "
PATIENCE_SECONDS = 30


class Failed(Exception):
    """A function that did not come to its first request."""


def median_seconds(program, starts):
    """The median of that many starts, one after the other."""
    return statistics.median(seconds(program) for _ in range(starts))


def seconds(program):
    """One start."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = "{}:{}".format(*server.getsockname())
        begun = time.perf_counter()
        process = subprocess.Popen(
            [program],
            env=environment(address),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            with accept(server, process, begun + PATIENCE_SECONDS) as connection:
                connection.settimeout(PATIENCE_SECONDS)
                asked = connection.recv(len(NEXT), socket.MSG_WAITALL)
                taken = time.perf_counter() - begun
        except TimeoutError as error:
            raise Failed(f"{program} asked for no event within {PATIENCE_SECONDS} s") from error
        finally:
            process.kill()
            process.wait()
    if asked != NEXT:
        raise Failed(f"{program} asked for {asked!r} instead of an event")
    return taken


def accept(server, process, end):
    """The connection of a process, which may end instead."""
    server.settimeout(0.1)
    while True:
        try:
            connection, _ = server.accept()
            return connection
        except TimeoutError:
            if process.poll() is not None:
                raise Failed(f"{process.args[0]} ended with {process.returncode}") from None
            if time.perf_counter() > end:
                raise


def environment(runtime_api):
    """What Lambda and a deployment set; no request is made with it before an event comes."""
    return {
        "PATH": os.environ["PATH"],
        "AWS_LAMBDA_RUNTIME_API": runtime_api,
        "AWS_LAMBDA_FUNCTION_NAME": "function",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "2048",
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "DRAYAGE_BUCKET": "bucket",
        "DRAYAGE_SECRETS_PREFIX": "prefix/",
        "DRAYAGE_JOB_PREFIX": "s3://bucket/jobs",
        "DRAYAGE_INSPECT_CONCURRENCY": "4",
        "DRAYAGE_SEAL_CONCURRENCY": "4",
    }
