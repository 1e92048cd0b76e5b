"""Where the corpus is put: the files, their rows, and the content that members are made of."""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile


def lines(topic, count):
    """Text of exactly `count` lines that no other topic has."""
    return "".join(f"{n},{topic},{n * 7919 % 100003}\n" for n in range(count)).encode()


# Whole members that stand beside a bad one in many archives.
FINE = {"fine.csv": b"1\n", "good.csv": b"1\n"}


def described(members):
    return [
        {"name": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(),
         "records": content.count(b"\n")}
        for name, content in members.items()
    ]


class Shelf:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.rows = []

    def put(self, file, data, row):
        path = self.folder / file
        assert not path.exists(), f"{file} is made twice"
        path.write_bytes(data)
        self.rows.append({"file": file, "password": None, "charset": "utf-8", "code": None,
                          "names_entry": None, "members": [], **row})

    def good(self, file, data, members, why, **more):
        """An archive that must yield exactly these members, a dict of name and bytes."""
        self.put(file, data, {"verdict": "good", "members": described(members), "why": why, **more})

    def bad(self, file, data, code, entry, why, before=None, **more):
        """An archive that must be rejected with this code, naming this entry.

        `before` are the members that are whole and may have been met before what is wrong.
        """
        row = {"verdict": "rejected", "code": f"archive.{code}", "names_entry": entry, "why": why,
               "before": described({**FINE, **(before or {})})}
        self.put(file, data, {**row, **more})

    def plain(self, file, data, why, **more):
        """A file that is no archive and is carried on as it is."""
        self.good(file, data, {file: data}, why, **more)

    def close(self):
        rows = json.dumps(self.rows, indent=1, ensure_ascii=False)
        (self.folder / "verdicts.json").write_text(rows + "\n")


class Desk:
    """A temporary folder with files in it, where a tool is run."""

    def __init__(self, files=None):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="archive-corpus-"))
        for name, content in (files or {}).items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path)

    def run(self, *command, stdin=b""):
        """Runs a tool and gives what it wrote to its standard output."""
        environment = {**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
        done = subprocess.run([str(part) for part in command], cwd=self.path, input=stdin,
                              capture_output=True, env=environment)
        assert done.returncode == 0, (command, done.stderr.decode(errors="replace"),
                                      done.stdout.decode(errors="replace")[-500:])
        return done.stdout

    def read(self, name):
        return (self.path / name).read_bytes()


def tool(*command, files=None, stdin=b"", result=None):
    """Runs one tool over files; gives its output, or the file that it made."""
    with Desk(files) as desk:
        output = desk.run(*command, stdin=stdin)
        return desk.read(result) if result else output


def replaced(data, old, new, times=1):
    """`data` with `old` replaced, which must be there exactly `times` times."""
    assert data.count(old) == times, (data.count(old), old)
    return data.replace(old, new)


def flipped(data, at):
    """`data` with one bit of the byte at `at` turned over."""
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1:]
