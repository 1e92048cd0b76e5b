"""The whole job for one partner, as a data team builds it from what Python has.

pysftp and a pool of threads carry, the standard library unpacks, PySpark counts, requests reports,
python-gnupg seals. One step after the other, each over all files; the last line of the output is
JSON and says what came through and how long each step took. The configuration is a JSON file:

    {"source": {"host", "port", "user", "key", "known_hosts", "directory"}, "target": {the same},
     "gnupg_home", "recipient", "report_url", "report_token", "work", "threads", "spark_master"}
"""

import argparse
import gzip
import hashlib
import json
import shutil
import sys
import tarfile
import time
import urllib.parse
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import gnupg
import paramiko
import pysftp
import requests
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql.functions import input_file_name

import pyspark_count
from connections import Connections, Server
from gnupg_seal import seal
from pysftp_get import download, files_in
from pysftp_put import upload


@dataclass(frozen=True)
class Member:
    """One unpacked file: `<archive name>_<member name>`, or a plain file's own name."""

    file: str
    name: str
    path: Path


def server(settings: dict[str, Any]) -> Server:
    return Server(
        settings["host"],
        settings["port"],
        settings["user"],
        Path(settings["key"]),
        Path(settings["known_hosts"]),
    )


def download_all(pool: Executor, settings: dict[str, Any], into: Path) -> list[Path]:
    """Every regular file of the source's folder."""
    with Connections(server(settings)) as connections:
        paths = pool.submit(lambda: files_in(connections.get(), settings["directory"])).result()
        list(pool.map(lambda path: download(connections.get(), path, into), paths))
    return sorted(into.iterdir())


def unpack(file: Path, into: Path) -> list[Member]:
    """The members of one archive; a file that is none is its own member."""
    members = []

    def write(name: str, content: IO[bytes]) -> None:
        member = Member(file.name, name, into / f"{file.name}_{name}".replace("/", "_"))
        with member.path.open("xb") as output:
            shutil.copyfileobj(content, output)
        members.append(member)

    if file.name.endswith(".zip"):
        with zipfile.ZipFile(file) as zipped:
            for info in zipped.infolist():
                if not info.is_dir():
                    with zipped.open(info) as content:
                        write(info.filename, content)
    elif file.name.endswith((".tar.gz", ".tgz")):
        with tarfile.open(file, "r:gz") as tarred:
            for entry in tarred:
                if entry.isfile():
                    write(entry.name, tarred.extractfile(entry))
    elif file.name.endswith(".gz"):
        with gzip.open(file) as unzipped:
            write(file.name.removesuffix(".gz"), unzipped)
    else:
        members.append(Member(file.name, file.name, file.rename(into / file.name)))
    return members


def count_all(folder: Path, master: str) -> dict[str, int]:
    """The records of every file in the folder that has any, by its name.

    One read of them all, not one per file: a job of its own costs each file more than its records
    do, and Spark packs many small files into one task.
    """
    hidden = [path.name for path in folder.iterdir() if path.name.startswith((".", "_"))]
    if hidden:
        raise RuntimeError(f"Spark would pass over {hidden[0]!r}: such a name is hidden to it")
    spark = pyspark_count.start(master)
    records = pyspark_count.read(spark, [pyspark_count.literally(folder)])
    counts = records.groupBy(input_file_name().alias("file")).count().collect()
    spark.stop()
    return {Path(urllib.parse.unquote(row["file"])).name: row["count"] for row in counts}


def report_all(
    pool: Executor, url: str, token: str, members: list[Member], records: dict[str, int]
) -> None:
    """One request per member; the session keeps the connections open."""
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {token}"

        def report(member: Member) -> None:
            with member.path.open("rb") as content:
                sha256 = hashlib.file_digest(content, "sha256").hexdigest()
            body = {
                "file": member.file,
                "member": member.name,
                "bytes": member.path.stat().st_size,
                "records": records.get(member.path.name, 0),
                "sha256": sha256,
            }
            session.post(url, json=body, timeout=60).raise_for_status()

        list(pool.map(report, members))


def seal_all(
    pool: Executor, home: str, recipient: str, members: list[Member], into: Path
) -> list[Path]:
    """Every member encrypted, armored."""
    gpg = gnupg.GPG(gnupghome=home)

    def sealed(member: Member) -> Path:
        output = into / f"{member.path.name}.asc"
        seal(gpg, recipient, member.path, output)
        return output

    return list(pool.map(sealed, members))


def upload_all(pool: Executor, settings: dict[str, Any], files: list[Path]) -> None:
    """Every sealed file, under a temporary name first; its size is asked for at the end."""
    with Connections(server(settings)) as connections:

        def deliver(file: Path) -> None:
            remote = upload(connections.get(), file, settings["directory"])
            size = connections.get().stat(remote).st_size
            if size != file.stat().st_size:
                raise RuntimeError(f"{remote} has {size} bytes, not {file.stat().st_size}")

        list(pool.map(deliver, files))


def run(config: dict[str, Any]) -> dict[str, Any]:
    """The job; what came through, and the seconds of each step."""
    seconds: dict[str, float] = {}

    @contextmanager
    def timed(step: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        seconds[step] = round(time.perf_counter() - begin, 3)

    work = Path(config["work"])
    downloaded, unpacked, encrypted = work / "downloaded", work / "unpacked", work / "encrypted"
    # They must be new: what an earlier run left there would be counted again.
    for folder in (downloaded, unpacked, encrypted):
        folder.mkdir(parents=True)
    with timed("total"), ThreadPoolExecutor(config["threads"]) as pool:
        with timed("download"):
            files = download_all(pool, config["source"], downloaded)
        with timed("unpack"):
            found = pool.map(lambda file: unpack(file, unpacked), files)
            members = [member for several in found for member in several]
        with timed("count"):
            records = count_all(unpacked, config["spark_master"])
        with timed("report"):
            report_all(pool, config["report_url"], config["report_token"], members, records)
        with timed("seal"):
            home, recipient = config["gnupg_home"], config["recipient"]
            sealed = seal_all(pool, home, recipient, members, encrypted)
        with timed("upload"):
            upload_all(pool, config["target"], sealed)
    return {
        "files": len(files),
        "members": len(members),
        "bytes": sum(member.path.stat().st_size for member in members),
        "records": sum(records.values()),
        "seconds": seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path, metavar="CONFIG.json")
    arguments = parser.parse_args()
    print(json.dumps(run(json.loads(arguments.config.read_text()))))


if __name__ == "__main__":
    try:
        main()
    except KeyError as error:
        sys.exit(f"The configuration lacks {error}")
    except (
        OSError,
        RuntimeError,
        ValueError,
        EOFError,
        zlib.error,
        tarfile.TarError,
        zipfile.BadZipFile,
        paramiko.SSHException,
        pysftp.ConnectionException,
        requests.RequestException,
        PySparkException,
        Py4JError,
    ) as error:
        sys.exit(f"The job stopped: {error}")
