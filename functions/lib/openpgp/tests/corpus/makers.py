"""The programs that partners make their keys with: GnuPG and Sequoia's `sq`, each in a folder of
its own, so that any number can work at once."""

import pathlib
import shutil
import subprocess
import tempfile

LONG_AGO = "20200101T000000!"
IN_2024 = "20240506T120000!"
FUTURE = "20900101T000000!"


class Failed(Exception):
    """A maker refused; its own words say why."""


def run(command, stdin=b"", env=None):
    """Runs a program to its end and returns what it printed."""
    done = subprocess.run(command, input=stdin, capture_output=True, env=env, check=False)
    if done.returncode:
        raise Failed(f"{' '.join(map(str, command))}: {done.stderr.decode(errors='replace')}")
    return done.stdout


class Workshop:
    """One row's folder, GnuPG home, and what the makers say about the certificate."""

    def __init__(self, user):
        # The agent's socket lies below; its path may have about 100 characters.
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="pgp", dir="/tmp"))
        self.user = user
        self.private = None

    def close(self):
        """Ends the agent and removes everything, private keys included."""
        subprocess.run(["gpgconf", "--homedir", self.home, "--kill", "all"],
                       capture_output=True, check=False)
        shutil.rmtree(self.home, ignore_errors=True)

    # GnuPG

    def gpg(self, *args, stdin=b"", at=None, passphrase="", batch=True):
        """Runs gpg, at a faked time if one is given."""
        command = ["gpg", "--homedir", self.home, "--no-tty", "--yes", "--quiet",
                   "--trust-model", "always", "--pinentry-mode", "loopback",
                   "--passphrase", passphrase]
        command += ["--batch"] if batch else []
        command += ["--faked-system-time", at] if at else []
        return run([*command, *args], stdin, {"PATH": "/usr/bin:/bin", "LC_ALL": "C"})

    def make(self, algorithm, usage="sign", expires="never", at=None, options=(), passphrase=""):
        """A primary key with the row's user id."""
        self.gpg(*options, "--quick-generate-key", self.user, algorithm, usage, expires,
                 at=at, passphrase=passphrase)

    def add(self, algorithm, usage="encr", expires="never", at=None, options=()):
        """One more subkey."""
        self.gpg(*options, "--quick-add-key", self.fingerprint(), algorithm, usage, expires, at=at)

    def edit(self, *answers, at=None, options=()):
        """Drives the key editor, one answer per word."""
        typed = "\n".join([*answers, "save", ""]).encode()
        self.gpg(*options, "--command-fd", "0", "--status-fd", "2", "--expert", "--edit-key",
                 self.fingerprint(), stdin=typed, at=at, batch=False)

    def revoke(self):
        """Revokes the whole key with the certificate that gpg prepared when it made the key."""
        path = self.home / "openpgp-revocs.d" / f"{self.fingerprint()}.rev"
        self.gpg("--import", stdin=path.read_bytes().replace(b":-----BEGIN", b"-----BEGIN"))

    def rows(self, kind):
        """The rows of one kind in gpg's machine-readable listing of the row's user."""
        listing = self.gpg("--with-colons", "--list-keys").decode().splitlines()
        return [row.split(":") for row in listing if row.startswith(kind + ":")]

    def fingerprint(self):
        """The primary key's fingerprint."""
        return self.rows("fpr")[0][9]

    def subkeys(self):
        """The key ids of all encryption subkeys, oldest first."""
        return [row[4] for row in self.rows("sub") if "e" in row[11]]

    def export(self, *options):
        """The certificate, binary unless the options say otherwise; keeps the private key too."""
        self.private = self.gpg("--export-secret-keys")
        return self.gpg(*options, "--export")

    def default(self, at=None):
        """Makes a plain good key: Ed25519 with one Cv25519 subkey."""
        self.make("ed25519", at=at)
        self.add("cv25519", at=at)

    # Sequoia

    def path(self, name, content=None):
        """A file of this row, written if there is content."""
        path = self.home / name
        if content is not None:
            path.write_bytes(content)
        return path

    def sq(self, *args, stdin=b""):
        """Runs sq."""
        return run(["sq", "--force", *args], stdin)

    def sq_make(self, *options, anonymous=False):
        """A key made by sq; returns its certificate, armored."""
        user = [] if anonymous else ["--userid", self.user]
        self.sq("key", "generate", *user, *options, "--export", self.path("sq.key"),
                "--rev-cert", self.path("sq.rev"))
        self.private = self.path("sq.key").read_bytes()
        certificate = self.sq("key", "extract-cert", self.path("sq.key"))
        self.path("sq.cert", certificate)
        return certificate

    def sq_revoke(self, day, reason, words):
        """The certificate made by sq and sq's revocation of it, joined by gpg."""
        revocation = self.sq("revoke", "certificate", "--time", day, "--certificate",
                             self.path("sq.cert"), "--revocation-key", self.path("sq.key"),
                             reason, words)
        self.look(self.path("sq.cert").read_bytes())
        # A revocation makes gpg open the trust database, which our trust model never makes.
        run(["gpg", "--homedir", self.home, "--batch", "--quiet", "--check-trustdb"])
        self.look(revocation)
        return self.gpg("--export")

    def sq_certify(self, certificate, user, notation, by=None):
        """The certificate with one more certification, by the key of that name or by its own."""
        signer = self.path("sq.key")
        if by:
            signer = self.path("by.key")
            self.sq("key", "generate", "--userid", by, "--export", signer)
        target = self.path("target.cert", certificate)
        return self.sq("certify", "--notation", notation, "value", signer, target, user)

    def look(self, certificate):
        """Imports a certificate into gpg, for what it says about fingerprint and keys."""
        self.gpg("--import", stdin=certificate)
