#!/usr/bin/env python3
"""A function's `bootstrap` that fails as often as it was told to and then becomes the real program.

FAULTS: one entry for each invocation that fails: an error's type and message, or null when the process
is to end in the middle of it. CLAIMS: a folder that tells the processes of a function which are taken.
PROGRAM: the real one's path. All three are put in when the package is made.
"""

import http.client
import json
import os
import pathlib

FAULTS = json.loads("""@FAULTS@""")
CLAIMS = pathlib.Path("@CLAIMS@")
PATH = "/2018-06-01/runtime/invocation"
HOST = os.environ["AWS_LAMBDA_RUNTIME_API"]


def call(method, path, body=None, headers=None):
    connection = http.client.HTTPConnection(HOST)
    connection.request(method, PATH + path, body, headers or {})
    answer = connection.getresponse()
    answer.read()
    return answer.headers


for number, fault in enumerate(FAULTS):
    try:
        (CLAIMS / str(number)).mkdir(parents=True)
    except FileExistsError:
        continue
    invocation = call("GET", "/next")["Lambda-Runtime-Aws-Request-Id"]
    if fault is None:
        os._exit(3)
    error = {"Lambda-Runtime-Function-Error-Type": fault["errorType"]}
    call("POST", f"/{invocation}/error", json.dumps(fault), error)

os.execv("@PROGRAM@", ["@PROGRAM@"])
