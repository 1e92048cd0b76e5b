#!/usr/bin/env python3
"""Runs the Spark job once on a real EMR Serverless application and compares its count.

What one machine cannot prove: that the image runs the shipped program (its libraries, the executable
bit of the archive), and that the program finds the job role's credentials by itself.

    python3 integration/aws/smoke_spark.py --bucket BUCKET --application 00f... \\
        --role arn:aws:iam::123456789012:role/drayage-spark --program target/.../count-large

The application must be of the program's architecture; the role may read and write the bucket. Lays a
CSV of 200 MB with line breaks inside quotes and a run around it, starts the job twice with one client
token, waits for its end and removes what it laid. Needs boto3, credentials and a region as every AWS
tool takes them. Costs a few cents. Ends with 0 when the count is exact.
"""

import argparse
import io
import json
import pathlib
import sys
import tarfile
import time
import uuid

import boto3

PARTNER = "smoke"
ID = "5f3a9c1e5f3a9c1e5f3a9c1e5f3a9c1e"
FILE = "smoke.csv"
PIECE_RECORDS = 20_000
JOB = pathlib.Path(__file__).parents[2] / "functions/count-large/job/count_large.py"
ENDED = {"SUCCESS", "FAILED", "CANCELLED"}


def profile():
    """A partner that nobody connects to: only how it counts matters."""
    end = {
        "host": "192.0.2.1",
        "port": 22,
        "username": "smoke",
        "auth": {"private_key": "smoke/key"},
        "host_keys": ["SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"],
        "directory": "/",
    }
    return {
        "partner": PARTNER,
        "source": end,
        "target": end,
        "records": {"model": "csv", "header_records": 1},
        "report": {"url": "https://192.0.2.1/", "auth": {"bearer": "smoke/token"}},
        "encryption": {"certificate": "smoke/certificate"},
    }


def content(size):
    """Bytes of a CSV, and its records."""
    record = '%d,"line one\r\nline ""two"", äöü €\r\n",42\r\n'
    piece = "".join(record % number for number in range(PIECE_RECORDS)).encode()
    pieces = -(-size // len(piece))
    return b"id,text,amount\r\n" + piece * pieces, PIECE_RECORDS * pieces


def archive(program):
    """The program as executors unpack it, executable."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as tar:
        member = tarfile.TarInfo("count-large")
        text = program.read_bytes()
        member.mode, member.size = 0o755, len(text)
        tar.addfile(member, io.BytesIO(text))
    return packed.getvalue()


def lay(put, run, given):
    """A run with one large member, and the job's files; gives the member's name and records."""
    text, records = content(given.bytes)
    name = "%016x-%s" % (2**64 - 1 - len(text), ID)
    file = {"name": name, "path": FILE, "size_bytes": len(text), "mtime_seconds": 0}
    key = "data/%s/%s/plain/%s" % (PARTNER, run, ID)
    member = {"name": name, "file": file, "path": FILE, "from_archive": False, "key": key}
    member.update(bytes=len(text), sha256="0" * 64)
    root = "runs/%s/%s/" % (PARTNER, run)
    put(key, text)
    put(root + "profile.json", json.dumps(profile()).encode())
    put(root + "large/%s.json" % name, json.dumps(member).encode())
    put(given.prefix + "/count_large.py", JOB.read_bytes())
    put(given.prefix + "/count-large.tar.gz", archive(given.program))
    return name, records


def request(run, given):
    """As the state machine starts it, for one partner."""
    place = "s3://%s/%s" % (given.bucket, given.prefix)
    words = ["--bucket", given.bucket, "--partner", PARTNER, "--run", run, "--splits", "8"]
    settings = {
        "spark.executor.instances": given.executors,
        "spark.executor.cores": 2,
        "spark.executor.memory": "7g",
        "spark.executor.memoryOverhead": "1g",
        "spark.driver.cores": 2,
        "spark.driver.memory": "7g",
        "spark.driver.memoryOverhead": "1g",
        "spark.dynamicAllocation.enabled": "false",
        "spark.archives": place + "/count-large.tar.gz#counter",
    }
    submit = {
        "entryPoint": place + "/count_large.py",
        "entryPointArguments": words,
        "sparkSubmitParameters": " ".join("--conf %s=%s" % pair for pair in settings.items()),
    }
    return {
        "applicationId": given.application,
        "clientToken": str(uuid.uuid5(uuid.NAMESPACE_URL, run)),
        "executionRoleArn": given.role,
        "jobDriver": {"sparkSubmit": submit},
        "name": "%s-%s" % (PARTNER, run),
    }


def wait(emr, application, job, seconds):
    """The job's end."""
    until = time.monotonic() + seconds
    while True:
        found = emr.get_job_run(applicationId=application, jobRunId=job)["jobRun"]
        if found["state"] in ENDED:
            return found
        if time.monotonic() > until:
            emr.cancel_job_run(applicationId=application, jobRunId=job)
            sys.exit("job %s is %s after %d s; it was cancelled" % (job, found["state"], seconds))
        time.sleep(1)


def main():
    parser = argparse.ArgumentParser(description="Runs the Spark job once on EMR Serverless.")
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--application", required=True, help="id of the application")
    parser.add_argument("--role", required=True, help="ARN of the job's role")
    parser.add_argument("--program", required=True, type=pathlib.Path, help="the built count-large")
    parser.add_argument("--prefix", default="jobs/smoke", help="where the job's files go")
    parser.add_argument("--bytes", type=int, default=200_000_000, help="size of the CSV")
    parser.add_argument("--executors", type=int, default=3)
    parser.add_argument("--timeout", type=int, default=900, help="seconds that the job may take")
    given = parser.parse_args()

    s3, emr = boto3.client("s3"), boto3.client("emr-serverless")
    laid = []

    def put(key, body):
        s3.put_object(Bucket=given.bucket, Key=key, Body=body)
        laid.append(key)

    run = "smoke-" + uuid.uuid4().hex[:12]
    try:
        name, records = lay(put, run, given)
        begun = time.monotonic()
        job = emr.start_job_run(**request(run, given))["jobRunId"]
        again = emr.start_job_run(**request(run, given))["jobRunId"]
        if again != job:
            sys.exit("one client token started two jobs, %s and %s" % (job, again))
        ended = wait(emr, given.application, job, given.timeout)
        if ended["state"] != "SUCCESS":
            sys.exit("job %s is %s: %s" % (job, ended["state"], ended.get("stateDetails")))
        counted = "runs/%s/%s/counted/%s.json" % (PARTNER, run, name)
        laid.append(counted)
        item = json.loads(s3.get_object(Bucket=given.bucket, Key=counted)["Body"].read())
        found = item["count"]["records"]
        if found != records:
            sys.exit("counted %d records, and there are %d" % (found, records))
        print("%d records, exact, after %d s" % (records, time.monotonic() - begun))
    finally:
        for key in laid:
            s3.delete_object(Bucket=given.bucket, Key=key)


if __name__ == "__main__":
    main()
