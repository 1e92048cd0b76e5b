"""Builds functions as they are deployed, refuses what Lambda could not start, packs and measures.

    make package                                        every function, both architectures
    .venv-package/bin/python functions/package plan --architecture arm64

Writes target/lambda/ARCHITECTURE/FUNCTION.zip, and for count-large the two files of the Spark job.
"""

import argparse
import pathlib
import platform
import sys

import archive
import binary
import build
import cold_start

ROOT = pathlib.Path(__file__).resolve().parents[2]
MIB = 1 << 20
# Amazon Linux 2023, which provided.al2023 is.
NEWEST_GLIBC = "2.34"
# The Spark job is no Lambda: its program runs in an image that is not ours.
JOB = "count-large"


def arguments():
    """What was asked for."""
    names = sorted(manifest.parent.name for manifest in ROOT.glob("functions/*/Cargo.toml"))
    parser = argparse.ArgumentParser(prog="functions/package", description=__doc__.split("\n")[0])
    parser.add_argument("functions", nargs="*", metavar="FUNCTION", help=", ".join(names))
    parser.add_argument("--architecture", action="append", choices=list(build.ARCHITECTURES))
    parser.add_argument("--profile", default="lambda", help="of Cargo; lambda unless given")
    parser.add_argument("--newest-glibc", default=NEWEST_GLIBC, metavar="VERSION")
    parser.add_argument("--output", type=pathlib.Path, help="instead of target/lambda")
    parser.add_argument("--starts", type=int, default=20, help="0 measures no start")
    asked = parser.parse_args()
    unknown = sorted(set(asked.functions) - set(names))
    if unknown:
        parser.error(f"no function {', '.join(unknown)}; there are {', '.join(names)}")
    asked.functions = asked.functions or names
    asked.architecture = asked.architecture or list(build.ARCHITECTURES)
    return asked


def packed(folder, name):
    """Where a function's package lies."""
    return folder / f"{name}{'.tar.gz' if name == JOB else '.zip'}"


def functions(asked, architecture, folder):
    """Builds, checks and packs Lambda functions; yields a row for each."""
    names = [name for name in asked.functions if name != JOB]
    programs = build.functions(names, architecture, asked.profile, folder) if names else {}
    runs_here = architecture.machine == platform.machine() and asked.starts > 0

    def start(name):
        return cold_start.median_seconds(programs[name], asked.starts) if runs_here else None

    nothing = start(build.NOTHING) if names else None
    for name in names:
        needs = binary.check(name, programs[name], architecture.elf_machine, asked.newest_glibc)
        pack = archive.zip_bootstrap(programs[name], packed(folder, name))
        yield Row(name, programs[name], pack, needs, start(name), nothing)


def job(architecture, profile, folder):
    """Builds, checks and packs the Spark job's two files."""
    program = build.job(JOB, architecture, profile, folder)
    binary.check_static(JOB, program, architecture.elf_machine)
    pack = archive.tar_program(program, JOB, packed(folder, JOB))
    driver = ROOT / "functions" / JOB / "job" / "count_large.py"
    (folder / driver.name).write_bytes(driver.read_bytes())
    return Row(JOB, program, pack, "static")


class Row:
    """One line of the table."""

    def __init__(self, name, program, pack, needs, start=None, nothing=None):
        self.cells = [
            name,
            f"{program.stat().st_size / MIB:.1f}",
            f"{pack.stat().st_size / MIB:.1f}",
            needs,
            f"{start * 1000:.1f}" if start else "",
            f"{start / nothing:.1f}" if start else "",
        ]

    def print(self, architecture):
        """Prints it."""
        print(LINE.format(architecture, *self.cells), flush=True)


LINE = "| {:<6} | {:<11} | {:>11} | {:>8} | {:>6} | {:>9} | {:>5} |"


def main():
    """Does what the command line says."""
    asked = arguments()
    output = (asked.output or build.target_folder(ROOT) / "lambda").resolve()
    heading = ["", "function", "program MiB", "pack MiB", "glibc", "start ms", "ratio"]
    rows = []
    for name in asked.architecture:
        architecture, folder = build.ARCHITECTURES[name], output / name
        folder.mkdir(parents=True, exist_ok=True)
        for function in asked.functions:
            # What is refused now must not lie there from before.
            packed(folder, function).unlink(missing_ok=True)
        for row in functions(asked, architecture, folder):
            rows.append((name, row))
        if JOB in asked.functions:
            rows.append((name, job(architecture, asked.profile, folder)))
    print(LINE.format(*heading))
    print("|" + "|".join(["---"] * len(heading)) + "|")
    for name, row in rows:
        row.print(name)


if __name__ == "__main__":
    try:
        main()
    except (binary.Refused, build.Failed, cold_start.Failed) as error:
        sys.exit(f"functions/package: {error}")
