"""Calls Cargo: once per architecture for all functions, so that they share what they depend on."""

import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Failed(Exception):
    """A program could not be built."""


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A processor, by everybody's name for it."""

    machine: str
    elf_machine: str

    @property
    def target(self):
        """Rust's name, with the C library of Lambda's image."""
        return f"{self.machine}-unknown-linux-gnu"

    @property
    def static_target(self):
        """Rust's name, without any C library of the image."""
        return f"{self.machine}-unknown-linux-musl"


ARCHITECTURES = {
    "arm64": Architecture("aarch64", "EM_AARCH64"),
    "x86-64": Architecture("x86_64", "EM_X86_64"),
}


# A function that does nothing, which starts are compared with.
NOTHING = "nothing"


def target_folder(root):
    """Where Cargo builds."""
    command = ["cargo", "metadata", "--no-deps", "--format-version", "1", "--offline"]
    told = subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE)
    return pathlib.Path(json.loads(told.stdout)["target_directory"])


def functions(names, architecture, profile, folder):
    """Builds functions; returns their programs by name, that of NOTHING among them."""
    packages = [word for name in [*names, "runtime"] for word in ("--package", name)]
    cargo_lambda(packages, architecture.target, profile, folder)
    return {name: folder / name / "bootstrap" for name in [*names, NOTHING]}


def job(name, architecture, profile, folder):
    """Builds a program that needs nothing of the image that it will run in."""
    cargo_lambda(["--package", name], architecture.static_target, profile, folder)
    return folder / name / "bootstrap"


def cargo_lambda(wanted, target, profile, folder):
    """Builds with the C compiler and linker beside this Python."""
    tools = pathlib.Path(sys.prefix) / "bin"
    environment = os.environ | {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        # Units that depend on what was built before would make two builds of one source differ.
        "CARGO_INCREMENTAL": "0",
    }
    # A profile by name, not --release: with that, cargo-lambda puts flags of its own over those of
    # .cargo/config.toml, and makes a panic end the process before it is answered.
    command = [tools / "cargo-lambda", "lambda", "build", "--locked", "--profile", profile]
    command += ["--target", target, "--lambda-dir", folder, "--config", same_everywhere(), *wanted]
    with one_at_a_time(f"{target}-{profile}"):
        if subprocess.run(command, cwd=ROOT, env=environment).returncode != 0:
            raise Failed(f"Cargo did not build {' '.join(wanted)} for {target}")


@contextlib.contextmanager
def one_at_a_time(what):
    """Cargo's own lock ends before cargo-lambda has copied what was built."""
    folder = target_folder(ROOT)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"package-{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def same_everywhere():
    """Takes folders of this machine out of programs, so that they are the same on every machine."""
    home = pathlib.Path(os.environ.get("CARGO_HOME", pathlib.Path.home() / ".cargo"))
    folders = {target_folder(ROOT): "target", ROOT: "."}
    folders |= {index: "crates" for index in sorted(home.glob("registry/src/*"))}
    flags = [f"--remap-path-prefix={path}={name}" for path, name in folders.items()]
    return f"target.'cfg(all())'.rustflags = {json.dumps(flags)}"
