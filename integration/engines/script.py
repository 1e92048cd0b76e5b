"""What the functions of the conformance cases do, call by call: the bootstrap of every Lambda function
that the engines under comparison invoke. `statemachine/engine/tests/conformance/script.rs` is the
same for our own engine."""

import json
import os
import time
import urllib.request

# Longer than any limit of a case, and short enough to wait for an engine that does not stop it.
HANG_SECONDS = 9


def count(folder):
    """The number of this call, from 1; calls are files, so that processes can count together."""
    number = 1
    while True:
        try:
            os.close(os.open(os.path.join(folder, str(number)), os.O_CREAT | os.O_EXCL))
            return number
        except FileExistsError:
            number += 1


class Failure(Exception):
    """A failure whose name the state machine sees."""


def perform(steps, number, payload):
    """What the call of that number answers."""
    step = steps[min(number, len(steps)) - 1]
    if isinstance(step, dict):
        if "answer" in step:
            return step["answer"]
        if "large" in step:
            return "x" * step["large"]
        if step["fail_when"] == payload:
            raise Failure(step["with"])
        return payload
    if step.startswith("fail:"):
        raise Failure(step.removeprefix("fail:"))
    if step == "hang":
        time.sleep(HANG_SECONDS)
        return payload
    return {
        "echo": lambda: payload,
        "sum": lambda: sum(payload),
        "pair": lambda: [payload, payload],
        "count": lambda: number,
    }[step]()


def invoke(environment, payload):
    """One invocation of a function with that environment: its answer, or the error that it reports."""
    number = count(environment["CALLS"])
    try:
        return perform(json.loads(environment["STEPS"]), number, payload), None
    except Failure as failure:
        return None, {"errorMessage": "because", "errorType": str(failure)}


def serve():
    """Works on one invocation after another, as the Lambda Runtime API hands them out."""
    runtime = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation"
    while True:
        with urllib.request.urlopen(f"{runtime}/next") as given:
            request = given.headers["Lambda-Runtime-Aws-Request-Id"]
            payload = json.load(given)
        answer, error = invoke(os.environ, payload)
        outcome = "error" if error else "response"
        body = json.dumps(error or answer).encode()
        urllib.request.urlopen(f"{runtime}/{request}/{outcome}", data=body).close()


if __name__ == "__main__":
    serve()
