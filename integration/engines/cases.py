"""The conformance cases of our engine, read for other engines, and what a case says about an end."""

import json
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "statemachine/engine/tests/conformance"


def load():
    """Every case of every topic, in the order of files and cases."""
    found = []
    for path in sorted(FOLDER.glob("*.json")):
        for case in json.loads(path.read_text())["cases"]:
            found.append({"topic": path.stem, "functions": {}, "objects": {}, **case})
    return found


def functions(definition):
    """Names of the functions that a definition calls."""
    names = set()

    def walk(value):
        if isinstance(value, dict):
            parameters = value.get("Parameters")
            if value.get("Type") == "Task" and isinstance(parameters, dict):
                name = parameters.get("FunctionName")
                if isinstance(name, str):
                    names.add(name)
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(definition)
    return names


def renamed(value, names):
    """A definition whose functions have other names."""
    if isinstance(value, dict):
        return {
            key: names.get(inner, inner)
            if key == "FunctionName" and isinstance(inner, str)
            else renamed(inner, names)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [renamed(inner, names) for inner in value]
    return value


def fits(wanted, given, subset):
    """True if `given` is what is wanted; "<any>" stands for any value."""
    if wanted == "<any>":
        return True
    if isinstance(wanted, dict) and isinstance(given, dict):
        same = subset or wanted.keys() == given.keys()
        return same and all(
            key in given and fits(inner, given[key], subset) for key, inner in wanted.items()
        )
    if isinstance(wanted, list) and isinstance(given, list):
        pairs = zip(wanted, given)
        return len(wanted) == len(given) and all(fits(w, g, subset) for w, g in pairs)
    # In Python True is 1; in JSON it is not.
    return isinstance(wanted, bool) == isinstance(given, bool) and wanted == given


def difference(case, end):
    """How an end differs from the one that the case expects, in words; None if it does not."""
    expect = case["expect"]
    if expect.get("invalid"):
        return None if "refused" in end else "makes a machine of it"
    if "refused" in end:
        return f"refuses it: {end['refused']}"
    wanted = expect.get("status", "FAILED" if "error" in expect else "SUCCEEDED")
    if end["status"] != wanted:
        return told(end)
    if "output" in expect:
        subset = expect.get("subset", False)
        if not fits(expect["output"], end["output"], subset):
            return told(end)
    # An execution that takes too long has a status, and on AWS no error.
    if "error" in expect and wanted == "FAILED" and expect["error"] != (end["error"] or ""):
        return told(end)
    if "cause" in expect and expect["cause"] != end["cause"]:
        return told(end)
    for name, number in expect.get("calls", {}).items():
        if end["calls"].get(name, 0) != number:
            return f"calls {name} {end['calls'].get(name, 0)} times, not {number}"
    return None


def told(end):
    """An end in one line."""
    if "refused" in end:
        return f"refuses it: {end['refused']}"
    if end["status"] == "SUCCEEDED":
        return f"succeeds with {json.dumps(end['output'])[:200]}"
    return f"ends as {end['status']} with {end['error']!r}: {(end['cause'] or '')[:200]}"
