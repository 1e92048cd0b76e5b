#!/usr/bin/env python3
"""A small AWS on loopback: MiniStack with our functions, our bucket and our state machine in it.

MiniStack is somebody else's S3, Secrets Manager, Lambda and Step Functions. What it does not have is EMR
Serverless: `startJobRun.sync` is passed to the endpoint that the caller names, and waited for as Step
Functions does. One thing is added to its histories: events for the states that a Map's child enters.

Lines of JSON in, one line of JSON out for each. First what to build:

    {"port": number, "folder": a folder for itself, "definition": text, "substitutions": {…}, "machine": name,
     "bucket": name, "objects": {key: text}, "secrets": {name: value}, "emr": {"endpoint", "access_key"},
     "functions": {name: {"zip": path, "environment": {…}, "timeout": seconds}}}

answered by {}; then as often as wanted:

    {"do": "run", "name": run, "input": {…}}   answered when the execution has ended
    {"do": "secret", "name", "value"}          written or replaced
    {"do": "put", "key", "text"}               an object
    {"do": "objects"}                          {key: text} of all there is; null for what is no text

It ends with its standard input.
"""

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import threading
import time

import botocore.config
import botocore.exceptions
import botocore.session

ACCOUNT = "000000000000"
REGION = "us-east-1"
ENDED = {"SUCCESS", "FAILED", "CANCELLED"}


class Cloud:
    """MiniStack in this process, and clients of it."""

    def __init__(self, port, folder):
        self.port = port
        self.endpoint = f"http://127.0.0.1:{self.port}"
        os.makedirs(folder, exist_ok=True)
        # Code and state of the services lie where the caller removes them.
        os.environ.update(
            TMPDIR=folder,
            BIND_HOST="127.0.0.1",
            GATEWAY_PORT=str(self.port),
            MINISTACK_HOST="127.0.0.1",
            MINISTACK_ACCOUNT_ID=ACCOUNT,
            MINISTACK_REGION=REGION,
            AWS_ENDPOINT_URL=self.endpoint,
            AWS_ACCESS_KEY_ID=ACCOUNT,
            AWS_SECRET_ACCESS_KEY="any",
            AWS_REGION=REGION,
            AWS_DEFAULT_REGION=REGION,
            SFN_WAIT_SCALE="0",
        )
        self.ready = threading.Event()
        serving = threading.Thread(target=self.serve, daemon=True)
        serving.start()
        while not self.ready.wait(0.1):
            if not serving.is_alive():
                raise SystemExit("MiniStack did not start; what it said is above")

    def serve(self):
        import ministack.app
        from hypercorn.asyncio import serve
        from hypercorn.config import Config

        config = Config()
        config.bind = [f"127.0.0.1:{self.port}"]
        config.errorlog = config.accesslog = None
        # The main thread has the signals.
        forever = asyncio.Event()

        async def run():
            serving = asyncio.ensure_future(serve(ministack.app.app, config, shutdown_trigger=forever.wait))
            while not self.answers():
                if serving.done():
                    return serving.result()
                await asyncio.sleep(0.02)
            self.ready.set()
            return await serving

        asyncio.run(run())

    def answers(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def client(self, service):
        return client(service, self.endpoint, ACCOUNT)


def client(service, endpoint, access_key):
    """A client of a service at that endpoint."""
    session = botocore.session.get_session()
    keys = {"aws_access_key_id": access_key, "aws_secret_access_key": "any"}
    config = botocore.config.Config(read_timeout=600, retries={"max_attempts": 1})
    return session.create_client(service, REGION, endpoint_url=endpoint, config=config, **keys)


def emr_handler(emr):
    """Does `startJobRun` and `startJobRun.sync` at an endpoint of EMR Serverless."""
    from ministack.services import stepfunctions

    jobs = client("emr-serverless", emr["endpoint"], emr["access_key"])

    def handle(resource, parameters):
        failed = stepfunctions._ExecutionError
        try:
            started = jobs.start_job_run(**camel(parameters))
        except botocore.exceptions.ClientError as refused:
            told = refused.response["Error"]
            raise failed(f"EmrServerless.{told['Code']}", told["Message"]) from None
        answer = {"ApplicationId": started["applicationId"], "JobRunId": started["jobRunId"]}
        if not resource.endswith(".sync"):
            return answer
        names = {"applicationId": started["applicationId"], "jobRunId": started["jobRunId"]}
        while (job := jobs.get_job_run(**names)["jobRun"])["state"] not in ENDED:
            time.sleep(0.1)
        if job["state"] != "SUCCESS":
            cause = answer | {"State": job["state"], "StateDetails": job["stateDetails"]}
            raise failed("States.TaskFailed", json.dumps(cause))
        return answer

    return handle


def camel(value):
    """The API's names: `JobDriver` is `jobDriver`. Tags and arguments keep theirs."""
    if not isinstance(value, dict):
        return value
    return {
        name[:1].lower() + name[1:]: inner if name == "Tags" else camel(inner)
        for name, inner in value.items()
    }


def note_children():
    """Lets the histories of a Map's children say which Task and Map they enter, as the parent's do."""
    from ministack.services import stepfunctions

    def noting(kind, execute):
        def run(state, value, execution, context):
            if execution.get("mapRunArn"):
                details = {"stateEnteredEventDetails": {"name": context["State"]["Name"]}}
                stepfunctions._add_event(execution, f"{kind}StateEntered", details)
            return execute(state, value, execution, context)

        return run

    for kind in ("Task", "Map"):
        name = f"_execute_{kind.lower()}"
        setattr(stepfunctions, name, noting(kind, getattr(stepfunctions, name)))


def deploy(cloud, spec):
    """Builds what the specification names."""
    from ministack.services import stepfunctions

    stepfunctions._SERVICE_DISPATCH["arn:aws:states:::emr-serverless:startJobRun"] = emr_handler(spec["emr"])
    note_children()
    cloud.bucket = spec["bucket"]
    cloud.client("s3").create_bucket(Bucket=cloud.bucket)
    for key, text in spec["objects"].items():
        put(cloud, key, text)
    for name, value in spec["secrets"].items():
        secret(cloud, name, value)
    functions = cloud.client("lambda")
    for name, function in spec["functions"].items():
        variables = {"AWS_ENDPOINT_URL": cloud.endpoint, **function["environment"]}
        with open(function["zip"], "rb") as code:
            functions.create_function(
                FunctionName=name,
                Runtime="provided.al2023",
                Role=f"arn:aws:iam::{ACCOUNT}:role/{name}",
                Handler="bootstrap",
                Code={"ZipFile": code.read()},
                Timeout=function["timeout"],
                Environment={"Variables": variables},
            )
    definition = spec["definition"]
    for name, value in spec["substitutions"].items():
        definition = definition.replace("${%s}" % name, value)
    machine = cloud.client("stepfunctions").create_state_machine(
        name=spec["machine"], definition=definition, roleArn=f"arn:aws:iam::{ACCOUNT}:role/machine"
    )
    cloud.machine = machine["stateMachineArn"]
    # Everything on the bus goes to a queue.
    queues, bus = cloud.client("sqs"), cloud.client("events")
    cloud.queue = queues.create_queue(QueueName="events")["QueueUrl"]
    pattern = json.dumps({"source": [{"prefix": ""}]})
    bus.put_rule(Name="all", EventPattern=pattern)
    bus.put_targets(Rule="all", Targets=[{"Id": "queue", "Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:events"}])
    return {}


def objects(cloud):
    """Everything in the bucket; None for what is no text."""
    s3, found = cloud.client("s3"), {}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=cloud.bucket):
        for key in (one["Key"] for one in page.get("Contents", [])):
            body = s3.get_object(Bucket=cloud.bucket, Key=key)["Body"].read()
            try:
                found[key] = body.decode()
            except UnicodeDecodeError:
                found[key] = None
    return found


def put(cloud, key, text):
    cloud.client("s3").put_object(Bucket=cloud.bucket, Key=key, Body=text.encode())


def secret(cloud, name, value):
    manager = cloud.client("secretsmanager")
    try:
        manager.create_secret(Name=name, SecretString=value)
    except manager.exceptions.ResourceExistsException:
        manager.put_secret_value(SecretId=name, SecretString=value)


def history(states, execution):
    """Names of the states that were entered, in order, and how often Tasks were called."""
    pages = states.get_paginator("get_execution_history").paginate(executionArn=execution)
    events = [event for page in pages for event in page["events"]]
    entered = [event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event]
    calls = sum(event["type"] == "TaskScheduled" for event in events)
    return {"entered": entered, "calls": calls, "events": len(events)}


def children(states, execution):
    """The children of all Maps, with the Map's name."""
    found = []
    for run in states.list_map_runs(executionArn=execution)["mapRuns"]:
        label = run["mapRunArn"].split("/")[1].split(":")[0]
        pages = states.get_paginator("list_executions").paginate(mapRunArn=run["mapRunArn"])
        for child in (child for page in pages for child in page["executions"]):
            one = history(states, child["executionArn"])
            found.append({"map": label, "status": child["status"], **one})
    return found


def events(cloud):
    """What the machine put on the bus since the last look."""
    queues, found = cloud.client("sqs"), []
    while messages := queues.receive_message(QueueUrl=cloud.queue, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            event = json.loads(message["Body"])
            if event["source"] != "aws.states":
                found.append({"source": event["source"], "type": event["detail-type"], "detail": event["detail"]})
            queues.delete_message(QueueUrl=cloud.queue, ReceiptHandle=message["ReceiptHandle"])
    return found


def run(cloud, name, given):
    """One execution from its start to its end."""
    states = cloud.client("stepfunctions")
    started = states.start_execution(stateMachineArn=cloud.machine, name=name, input=json.dumps(given))
    arn = started["executionArn"]
    while (ended := states.describe_execution(executionArn=arn))["status"] == "RUNNING":
        time.sleep(0.05)
    output = ended.get("output")
    return {
        "arn": arn,
        "status": ended["status"],
        "output": json.loads(output) if output and ended["status"] == "SUCCEEDED" else None,
        "error": ended.get("error"),
        "cause": ended.get("cause"),
        **history(states, arn),
        "children": children(states, arn),
        "events": events(cloud),
    }


def main():
    # What the services log must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    logging.basicConfig(level=logging.ERROR)
    # Its functions end with it.
    os.setpgrp()
    try:
        spec = json.loads(sys.stdin.readline())
        cloud = Cloud(spec["port"], spec["folder"])
        print(json.dumps(deploy(cloud, spec)), file=answers, flush=True)
        for line in sys.stdin:
            request = json.loads(line)
            match request.pop("do"):
                case "run":
                    answer = run(cloud, request["name"], request["input"])
                case "secret":
                    answer = secret(cloud, request["name"], request["value"])
                case "put":
                    answer = put(cloud, request["key"], request["text"])
                case "objects":
                    answer = objects(cloud)
            print(json.dumps(answer), file=answers, flush=True)
    finally:
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
