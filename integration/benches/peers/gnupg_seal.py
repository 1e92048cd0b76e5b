"""Encrypts a file for a recipient the way a Python team does: python-gnupg with its defaults.

It runs gpg, feeds it the file and has it write the result, compressed and armored.
"""

import argparse
import sys
from pathlib import Path

import gnupg


def seal(gpg: gnupg.GPG, recipient: str, source: Path, output: Path) -> None:
    """Encrypts one file; threads may share `gpg`, each call starts a process of its own."""
    result = gpg.encrypt_file(str(source), [recipient], always_trust=True, output=str(output))
    if not result.ok:
        raise RuntimeError(f"gpg did not encrypt {source.name}: {result.status}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True, metavar="GNUPGHOME")
    parser.add_argument("--recipient", required=True, metavar="FINGERPRINT")
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    gpg = gnupg.GPG(gnupghome=str(arguments.home))
    seal(gpg, arguments.recipient, arguments.input, arguments.output)


if __name__ == "__main__":
    try:
        main()
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(f"Nothing was sealed: {error}")
