"""Tars that must be rejected: of real makers, and put together as attackers do."""

import gzip
import os
import tarfile

from shelf import Desk, flipped, lines, replaced, tool
from tars import info, python_tar

FINE = ("fine.csv", b"1\n")


def names(out):
    def row(stem, name, code, entry, why, **more):
        out.bad(f"tar-{stem}.tar", python_tar([FINE, (name, b"evil\n")]), code, entry, why, **more)

    row("up", "../up.csv", "traversal", "../up.csv", "Python tarfile: a path that leaves its folder")
    row("up-pax", info("nice.csv", pax_headers={"path": "a/../../up.csv"}), "traversal",
        "a/../../up.csv", "the PAX path leaves its folder")
    row("up-gnu", "d/" * 60 + "../" * 61 + "up.csv", "traversal", "d/d/", "the long name leaves its folder")
    row("up-folder", info("../up", tarfile.DIRTYPE), "traversal", "../up", "a folder outside")
    row("absolute", "/etc/absolute.csv", "absolute", "/etc/absolute.csv", "an absolute path")
    row("drive", "C:/drive.csv", "absolute", "C:/drive.csv", "a drive letter")
    row("share", "\\\\host\\share.csv", "absolute", "share.csv", "a network share")
    row("control", "a\rb.csv", "name", "a\\rb.csv", "a carriage return in the name")
    row("nul", info("n.csv", pax_headers={"path": "nul\0byte.csv"}), "name", "nul\\0byte.csv",
        "a zero byte in the PAX path")
    row("empty", info("", pax_headers={}), "name", "[]", "no name at all")
    row("device", "nul.csv", "name", "nul.csv", "a device of Windows")
    row("long", "l" * 1025, "name", "lllllllllll", "a name of more than 1024 bytes")
    row("deep", "d/" * 33 + "deep.csv", "name", "d/d/d/", "more than 32 folders deep")
    row("twice", "fine.csv", "duplicate", "fine.csv", "a name twice, as tar -r makes it")
    row("twice-disguised", ".//fine.csv", "duplicate", ".//fine.csv", "a name twice in disguise")
    row("twice-case", "FINE.csv", "duplicate", "FINE.csv", "two names that differ in case only")
    row("file-and-folder", "fine.csv/inner.csv", "duplicate", "fine.csv/inner.csv",
        "a member inside of a member")
    row("folder-on-file", info("fine.csv", tarfile.DIRTYPE), "duplicate", "fine.csv",
        "a folder where a member stands")
    latin = python_tar([("\xfc.csv", b"1\n")], form=tarfile.GNU_FORMAT, encoding="latin-1")
    out.bad("tar-latin.tar", latin, "charset", ".csv", "a CP1252 name without a profile that says so")
    with Desk({"absolute-p.csv": b"1\n"}) as desk:
        data = desk.run("tar", "-cPf", "-", desk.path / "absolute-p.csv")
        out.bad("gnu-absolute.tar", data, "absolute", "absolute-p.csv", "GNU tar -P")


def kinds(out):
    def row(stem, kind, code, why, **fields):
        member = info(f"{stem}.csv", kind, **fields)
        out.bad(f"tar-{stem}.tar.gz", gzip.compress(python_tar([FINE, (member, b"")])), code,
                f"{stem}.csv", why)

    row("symlink", tarfile.SYMTYPE, "link", "a symbolic link", linkname="/etc/passwd")
    row("hardlink", tarfile.LNKTYPE, "link", "a hard link", linkname="fine.csv")
    row("char", tarfile.CHRTYPE, "special", "a character device", devmajor=1, devminor=3)
    row("block", tarfile.BLKTYPE, "special", "a block device", devmajor=8)
    row("fifo", tarfile.FIFOTYPE, "special", "a pipe")
    row("volume", b"M", "unsupported", "the rest of a file of an earlier volume")
    row("unknown", b"Q", "unsupported", "a type nobody knows")
    row("symlink-" + "l" * 120, tarfile.SYMTYPE, "link", "a link whose name is in the PAX header",
        linkname="x" * 120)
    folder = info("folder", tarfile.DIRTYPE, size=512)
    out.bad("tar-folder.tar", python_tar([FINE, (folder, b"x" * 512)]), "corrupt", "folder",
            "a folder that holds bytes")
    with Desk({"gnu-target.csv": lines("target", 3)}) as desk:
        os.link(desk.path / "gnu-target.csv", desk.path / "hard.csv")
        (desk.path / "soft.csv").symlink_to("gnu-target.csv")
        os.mkfifo(desk.path / "pipe.csv")
        for name, code in [("hard.csv", "link"), ("soft.csv", "link"), ("pipe.csv", "special")]:
            for maker in ["tar", "bsdtar"]:
                data = desk.run(maker, "-cf", "-", "gnu-target.csv", name)
                out.bad(f"{maker}-{name}.tar", data, code, name, f"{maker} of a {name}",
                        before={"gnu-target.csv": desk.read("gnu-target.csv")})


def sparse(out):
    with Desk() as desk:
        with open(desk.path / "sparse.csv", "wb") as file:
            file.write(b"1\n")
            file.seek(1 << 20)
            file.write(b"2\n")
        rows = [("old-gnu", ["tar", "--format=gnu"])]
        rows += [(f"pax-{version}", ["tar", "--format=pax", f"--sparse-version={version}"])
                 for version in ["0.0", "0.1", "1.0"]]
        for name, command in rows:
            data = desk.run(*command, "-S", "-cf", "-", "sparse.csv")
            out.bad(f"sparse-{name}.tar", data, "sparse", "sparse.csv", f"GNU tar -S, {name}")
        data = desk.run("bsdtar", "--format", "pax", "--read-sparse", "-cf", "-", "sparse.csv")
        out.bad("sparse-bsdtar.tar", data, "sparse", "sparse.csv", "bsdtar --read-sparse")


def damage(out):
    content = lines("damage", 300)
    whole = python_tar([FINE, ("damage.csv", content)])
    second = whole.index(b"damage.csv")
    bare = whole.rstrip(b"\0")
    bare += bytes(-len(bare) % 512)
    two = python_tar([("second.csv", b"1\n")])
    for name, data, code, entry, why in [
        ("half", whole[:second + 900], "truncated", "damage.csv", "cut inside a member"),
        ("head", whole[:second + 100], "truncated", None, "cut inside a header"),
        ("no-end", bare, "truncated", None, "without its end mark: more might have followed"),
        ("header-bit", flipped(whole, second), "corrupt", "amage.csv", "one bit of a header turned"),
        ("trailing", whole + b"junk", "corrupt", None, "bytes behind the end"),
        ("doubled", whole + two, "corrupt", None, "two tars one after the other: the second would be lost"),
    ]:
        before = {"damage.csv": content}
        out.bad(f"damage-{name}.tar", data, code, entry, why, before)
        packed = gzip.compress(data)
        out.bad(f"damage-{name}.tar.gz", packed, code, entry, f"{why}, in an intact gzip", before)


def rewritten(data, at, field, value):
    """A tar whose header at `at` has another field, with the checksum put right."""
    header = bytearray(data[at:at + 512])
    header[field:field + len(value)] = value
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return data[:at] + bytes(header) + data[at + 512:]


def sizes(out):
    whole = python_tar([FINE, ("size.csv", b"1\n")], form=tarfile.GNU_FORMAT)
    at = whole.index(b"size.csv")
    for name, value, code, why, more in [
        ("negative", b"\xff" * 12, "corrupt", "a negative size in base 256", {}),
        ("letters", b"9999999999\0", "corrupt", "a size that is no octal number", {}),
        ("huge", b"\x80" + (1 << 41).to_bytes(11, "big"), "bytes", "2 TiB in base 256", {}),
        ("9gib", b"\x80" + (9 << 30).to_bytes(11, "big"), "truncated", "9 GiB in base 256 that are not there", {}),
        ("beyond", b"77777777777\0", "truncated", "8 GiB that are not there", {}),
    ]:
        out.bad(f"size-{name}.tar", rewritten(whole, at, 124, value), code, "size.csv", why, **more)
    member = info("size.csv", pax_headers={"size": "512"})
    data = python_tar([FINE, (member, b"1\n")])
    out.bad("size-two.tar", data, "corrupt", "size.csv",
            "the PAX size and the header's disagree, so that two readers see two archives")
    member = info("size.csv", pax_headers={"size": "two"})
    out.bad("size-words.tar", python_tar([FINE, (member, b"1\n")]), "corrupt", None,
            "a PAX size that is no number")
    for key, value in [("path", "everywhere.csv"), ("size", "5"), ("GNU.sparse.major", "1")]:
        data = python_tar([FINE], pax_headers={key: value})
        out.bad(f"global-{key.lower()}.tar", data, "corrupt", None, f"a global PAX header with a {key}")
    data = python_tar([(info("x.csv", pax_headers={"note": "plain"}), b"1\n")])
    out.bad("pax-length.tar", replaced(data, b"14 note=plain\n", b"15 note=plain\n"), "corrupt", None,
            "a PAX record of the wrong length")


def bombs(out):
    zeros = bytes(8 << 20)
    for name in ["gz", "bz2", "xz"]:
        out.bad(f"bomb.tar.{name}", python_tar([("zeros.csv", zeros)], mode=f"w:{name}"), "ratio",
                "zeros.csv", f"8 MiB of zeros in a tar.{name}")
    folders = [(info(f"{n}", tarfile.DIRTYPE), b"") for n in range(10_001)]
    crowd = gzip.compress(python_tar(folders, form=tarfile.USTAR_FORMAT), 1)
    out.bad("crowd.tar.gz", crowd, "entries", None, "10,001 entries")
    fat = python_tar([FINE, ("fat.csv", lines("fat", 100))])
    out.bad("limit-bytes.tar", fat, "bytes", "fat.csv", "more bytes than the profile allows",
            limits={"max_bytes": 1000})
    out.bad("limit-entries.tar", fat, "entries", None, "more entries than the profile allows",
            limits={"max_entries": 1})


def make(out):
    names(out)
    kinds(out)
    sparse(out)
    damage(out)
    sizes(out)
    bombs(out)
