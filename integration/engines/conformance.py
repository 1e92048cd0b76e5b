"""Runs the conformance cases on another engine and compares the ends with what the specification
says. Every difference has to stand in differences.json with who is right, and every one that stands
there has to occur, unless chance decides it.

    conformance.py ministack|localstack [--only PART-OF-A-NAME] [--differences FILE]
                   [--json FILE]
"""

import argparse
import concurrent.futures
import importlib
import io
import json
import os
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import botocore.config
import botocore.exceptions
import botocore.session

import cases
import hosted

# The module that starts each engine.
ENGINES = {"ministack": "ministack_server", "localstack": "localstack_server"}
HERE = Path(__file__).resolve().parent
ROLE = "arn:aws:iam::123456789012:role/conformance"
BUCKET = "conformance"
AT_ONCE = 6
POLL_SECONDS = 0.02
END_SECONDS = 90


def bootstrap():
    """The code of the functions: a custom runtime that is a script, run by this Python."""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        info = zipfile.ZipInfo("bootstrap")
        info.external_attr = 0o755 << 16
        archive.writestr(info, f"#!{sys.executable}\n{(HERE / 'script.py').read_text()}")
    return code.getvalue()


def called(case):
    """Names of the functions that a case calls."""
    return cases.functions(case["definition"]) | case["functions"].keys()


class Runner:
    """Runs cases on a server."""

    def __init__(self, engine, unique):
        session = botocore.session.get_session()
        config = botocore.config.Config(
            max_pool_connections=4 * AT_ONCE, s3={"addressing_style": "path"}
        )
        client = lambda service: session.create_client(
            service,
            region_name=hosted.REGION,
            endpoint_url=engine.url,
            aws_access_key_id=hosted.ACCOUNT,
            aws_secret_access_key="conformance",
            config=config,
        )
        self.engine, self.unique, self.folder = engine, unique, engine.folder
        self.states, self.s3 = client("stepfunctions"), client("s3")
        self.functions = None if engine.place else client("lambda")
        self.code = bootstrap()

    def store(self, found):
        """Puts every case's objects into the one bucket."""
        self.s3.create_bucket(Bucket=BUCKET)
        for case in found:
            for place, body in case["objects"].items():
                bucket, key = place.split("/", 1)
                text = body if isinstance(body, str) else json.dumps(body)
                self.s3.put_object(Bucket=bucket, Key=key, Body=text.encode())

    def place(self, number, name, steps):
        """Makes a function; answers the name that it has on the server."""
        calls = os.path.join(self.folder, "calls", f"{number}-{name}")
        os.makedirs(calls)
        environment = {"STEPS": json.dumps(steps), "CALLS": calls}
        # What one case alone calls keeps its name, for its input may hold it.
        placed = name if name in self.unique else f"f{number}-{name}"
        if self.functions is None:
            self.engine.place(placed, environment)
            return placed
        self.functions.create_function(
            FunctionName=placed,
            Runtime="provided.al2023",
            Role=ROLE,
            Handler="bootstrap",
            Code={"ZipFile": self.code},
            Timeout=30,
            Environment={"Variables": environment},
        )
        return placed

    def end(self, number, case):
        """How a case ends on the server."""
        names = called(case)
        steps = lambda name: case["functions"].get(name, ["echo"])
        invalid = case["expect"].get("invalid")
        placed = {} if invalid else {n: self.place(number, n, steps(n)) for n in names}
        definition = json.dumps(cases.renamed(case["definition"], placed))
        for name, other in placed.items():
            definition = definition.replace(f":function:{name}", f":function:{other}")
        try:
            arn = self.states.create_state_machine(
                name=case["name"], definition=definition, roleArn=ROLE
            )["stateMachineArn"]
            if invalid:
                return {"made": arn}
            execution = self.states.start_execution(
                stateMachineArn=arn, name=case["name"], input=json.dumps(case["input"])
            )["executionArn"]
        except botocore.exceptions.ClientError as error:
            return {"refused": str(error)[:200]}
        found = self.awaited(execution)
        calls = os.path.join(self.folder, "calls")
        counts = {n: len(os.listdir(os.path.join(calls, f"{number}-{n}"))) for n in placed}
        for other in placed.values() if self.functions else []:
            self.functions.delete_function(FunctionName=other)
        return {
            "status": found["status"],
            "output": json.loads(found["output"]) if found.get("output") else None,
            "error": found.get("error"),
            "cause": found.get("cause"),
            "calls": counts,
        }

    def awaited(self, execution):
        """The execution when it has ended."""
        deadline = time.monotonic() + END_SECONDS
        while time.monotonic() < deadline:
            found = self.states.describe_execution(executionArn=execution)
            if found["status"] != "RUNNING":
                return found
            time.sleep(POLL_SECONDS)
        return {"status": "RUNNING"}


def run(engine, found):
    """The difference of every case that has one, and every end, by name."""
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        with engine.server(folder) as running:
            named = [name for case in cases.load() for name in called(case)]
            runner = Runner(running, {name for name in named if named.count(name) == 1})
            runner.store(found)
            with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
                ends = list(pool.map(runner.end, range(len(found)), found))
    named = {case["name"]: end for case, end in zip(found, ends)}
    differs = {case["name"]: cases.difference(case, end) for case, end in zip(found, ends)}
    return {name: words for name, words in differs.items() if words}, named


def known(engine, path):
    """The differences that are known of an engine, by case."""
    rows = json.loads(path.read_text())["differences"]
    return {case: row for row in rows if row["engine"] == engine for case in row["cases"]}


def main():
    """Prints the table; the exit status is 1 if the list of differences is not right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("--only", default="")
    parser.add_argument("--differences", type=Path, default=HERE / "differences.json")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    engine = importlib.import_module(ENGINES[arguments.engine])
    found = [case for case in cases.load() if arguments.only in case["name"]]
    differs, ends = run(engine, found)
    if arguments.json:
        arguments.json.write_text(json.dumps({"differs": differs, "ends": ends}, indent=1))
    rows = known(engine.NAME, arguments.differences)
    expected = {name for name in rows if arguments.only in name}
    topics = {}
    for case in found:
        same, other = topics.get(case["topic"], (0, 0))
        odd = case["name"] in differs
        topics[case["topic"]] = (same + (not odd), other + odd)
    print(f"{engine.NAME}: topic, as the specification says, otherwise")
    for topic, (same, other) in topics.items():
        print(f"  {topic:24}{same:5}{other:5}")
    print(f"  {'all':24}{len(found) - len(differs):5}{len(differs):5}")
    new = {name: words for name, words in differs.items() if name not in expected}
    certain = [name for name in expected if not rows[name].get("sometimes")]
    gone = [name for name in certain if name not in differs]
    for name, words in new.items():
        print(f"NEW  {name}: {engine.NAME} {words}")
    for name in gone:
        print(f"GONE {name}: {engine.NAME} does as the specification says")
    return 1 if new or gone else 0


if __name__ == "__main__":
    sys.exit(main())
