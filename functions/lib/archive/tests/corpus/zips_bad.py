"""Zips of real makers that must be rejected: hostile names, damage, passwords, bombs."""

import io
import stat
import warnings
import zipfile

from shelf import Desk, flipped, lines, replaced, tool
from zips import PASSWORD, pyzipper_zip, python_zip, raw_name, unicode_path

warnings.filterwarnings("ignore", "Duplicate name", UserWarning)


def names(out):
    def row(stem, info, code, entry, why, charset="utf-8"):
        data = python_zip([("fine.csv", b"1\n"), (info, b"evil\n")])
        out.bad(f"name-bad-{stem}.zip", data, code, entry, why, charset=charset)

    row("up", "../up.csv", "traversal", "../up.csv", "Python: a path that leaves its folder")
    row("up-later", "a/b/../../../up.csv", "traversal", "a/b/../../../up.csv", "leaves its folder later")
    row("up-inside", "a/../inside.csv", "traversal", "a/../inside.csv",
        "a .. that stays inside is refused too")
    row("up-backslash", raw_name(b"..\\up.csv"), "traversal", "up.csv", "leaves its folder by backslash")
    row("up-folder", "a/../../", "traversal", "a/../../", "a folder outside")
    row("up-0x7075", raw_name(b"nice.csv", extra=unicode_path("../nasty.csv", b"nice.csv")),
        "traversal", "../nasty.csv", "the Unicode Path field leaves the folder")
    row("absolute", "/etc/absolute.csv", "absolute", "/etc/absolute.csv", "an absolute path")
    row("drive", raw_name(b"C:\\drive.csv"), "absolute", "drive.csv", "a drive letter")
    row("drive-relative", "c:drive.csv", "absolute", "c:drive.csv", "a drive letter without a slash")
    row("share", raw_name(b"\\\\host\\share.csv"), "absolute", "share.csv", "a network share")
    row("newline", "new\nline.csv", "name", "new\\nline.csv", "a line feed in the name")
    row("escape", "\x1b[2Jclear.csv", "name", "[2Jclear.csv", "a terminal's escape sequence")
    row("reversed", "invoice\u202evsc.exe", "name", "invoice\\u{202e}vsc.exe", "reversed writing")
    row("nul", raw_name(b"nul\0byte.csv"), "name", "nul\\0byte.csv", "a zero byte in the name")
    row("empty", raw_name(b""), "name", "[]", "no name at all")
    row("blank", "a/ /blank.csv", "name", "a/ /blank.csv", "a part of blanks")
    row("dots", ".../dots.csv", "name", ".../dots.csv", "a part of dots")
    row("device", "reports/Con.csv", "name", "reports/Con.csv", "a device of Windows")
    row("long", "l" * 1025, "name", "llllllllllllllll", "a name of more than 1024 bytes")
    row("deep", "d/" * 33 + "deep.csv", "name", "d/d/d/", "more than 32 folders deep")
    row("bad-utf8", raw_name(b"\xff\xfe.csv", utf8=True), "charset", ".csv", "flagged as UTF-8, which it is not")
    row("bad-cp932", raw_name(b"\x93.csv"), "charset", ".csv", "no CP932", charset="cp932")
    row("two-names", raw_name("ä.csv".encode(), True, unicode_path("b.csv", "ä.csv".encode())),
        "corrupt", "ä.csv", "flagged as UTF-8, and a Unicode Path field says another name")
    row("twice", "fine.csv", "duplicate", "fine.csv", "Python: a name twice")
    row("twice-disguised", "./fine.csv", "duplicate", "./fine.csv", "a name twice in disguise")
    row("twice-case", "Fine.CSV", "duplicate", "Fine.CSV", "two names that differ in case only")
    row("twice-dot", "fine.csv.", "duplicate", "fine.csv.", "two names that Windows makes one")
    row("file-and-folder", "fine.csv/inner.csv", "duplicate", "fine.csv/inner.csv",
        "a member inside of a member")


def kinds(out):
    def row(stem, mode, code, why, content=b""):
        info = zipfile.ZipInfo(f"{stem}.csv")
        info.create_system, info.external_attr = 3, mode << 16
        data = python_zip([("fine.csv", b"1\n"), (info, content)])
        out.bad(f"kind-{stem}.zip", data, code, f"{stem}.csv", why)

    row("fifo", stat.S_IFIFO | 0o644, "special", "a pipe by its Unix mode, without content")
    row("block", stat.S_IFBLK | 0o644, "special", "a block device by its Unix mode")
    row("char", stat.S_IFCHR | 0o644, "special", "a character device by its Unix mode")
    row("socket", stat.S_IFSOCK | 0o644, "special", "a socket by its Unix mode")
    row("link", stat.S_IFLNK | 0o777, "link", "a symbolic link by its Unix mode", b"/etc/passwd")
    row("mode-folder", stat.S_IFDIR | 0o755, "corrupt", "a folder by its Unix mode, with bytes", b"x")
    with Desk({"iz-target.csv": b"1\n"}) as desk:
        (desk.path / "iz-link.csv").symlink_to("iz-target.csv")
        desk.run("zip", "-q", "-y", "out.zip", "iz-target.csv", "iz-link.csv")
        out.bad("iz-link.zip", desk.read("out.zip"), "link", "iz-link.csv", "Info-ZIP zip -y of a link")
        desk.run("7z", "a", "-tzip", "-bd", "-snl", "7.zip", "iz-target.csv", "iz-link.csv")
        out.bad("7z-link.zip", desk.read("7.zip"), "link", "iz-link.csv", "7-Zip -snl of a link")
    data = python_zip([("fine.csv", b"1\n"), ("folder/", b"bytes")])
    out.bad("kind-folder.zip", data, "corrupt", "folder/", "a folder that holds bytes")


def passwords(out):
    body = {"secret.csv": lines("secret", 40)}
    crypt = tool("zip", "-q", "-P", "right", "out.zip", *body, files=body, result="out.zip")
    crypt7 = tool("7z", "a", "-tzip", "-mem=ZipCrypto", "-pright", "out.zip", *body, files=body,
                  result="out.zip")
    aes = pyzipper_zip(body, "right", nbits=256)
    for name, data in [("crypt", crypt), ("7z-crypt", crypt7), ("aes", aes)]:
        out.bad(f"password-none-{name}.zip", data, "encrypted", "secret.csv",
                f"{name} without a password in the profile")
        out.bad(f"password-wrong-{name}.zip", data, "wrong_password", "secret.csv",
                f"{name} with a wrong password", password=PASSWORD)
    for version in [1, 2]:
        stored = pyzipper_zip(body, PASSWORD, 0, nbits=256, force_wz_aes_version=version)
        at = stored.index(b"PK\x01\x02")
        out.bad(f"aes-ae{version}-flipped.zip", flipped(stored, at // 2), "crc", "secret.csv",
                f"AE-{version} over stored text, one bit turned", password=PASSWORD)
        out.bad(f"aes-ae{version}-code.zip", flipped(stored, at - 1), "crc", "secret.csv",
                f"AE-{version}, one bit of its authentication code turned", password=PASSWORD)
    sealed = tool("zip", "-q", "-P", PASSWORD, "out.zip", *body, files=body, result="out.zip")
    out.bad("crypt-flipped.zip", flipped(sealed, sealed.index(b"PK\x01\x02") // 2), "wrong_password",
            "secret.csv", "ZipCrypto, one bit turned: it cannot be told from a wrong password",
            password=PASSWORD)
    half = python_zip([("open.csv", b"1\n")])
    mixed = tool("sh", "-c", "cat > out.zip && zip -q -P right out.zip secret.csv", files=body,
                 stdin=half, result="out.zip")
    out.bad("password-mixed.zip", mixed, "encrypted", "secret.csv", "one of two members is encrypted")


def damage(out):
    content = lines("damage", 3000)
    whole = python_zip([("good.csv", b"1\n"), ("damage.csv", content)])
    stored = python_zip([("good.csv", b"1\n"), ("damage.csv", content)], 0)
    middle = whole.index(b"damage.csv") + 200
    for name, data, code, entry, why in [
        ("half", whole[:len(whole) // 2], "truncated", None, "the first half of a zip"),
        ("last-byte", whole[:-1], "truncated", None, "all but the last byte"),
        ("no-end", whole[:-22], "truncated", None, "all but the end record"),
        ("no-directory", whole[:whole.index(b"PK\x01\x02")], "truncated", None, "without its directory"),
        ("head", b"PK\x03\x04", "truncated", None, "four bytes"),
        ("trailing", whole + b"\n", "corrupt", None, "a line feed behind the end, as bad copies have"),
        ("doubled", whole + whole, "corrupt", None, "two zips one after the other"),
        ("gap", replaced(whole, b"PK\x05\x06", b"gap PK\x05\x06"), "corrupt", None,
         "bytes between directory and end"),
        ("stored-bit", flipped(stored, len(stored) // 2), "crc", "damage.csv", "stored, one bit turned"),
        ("ascii", whole.replace(b"\n", b"\r\n"), "corrupt", None, "sent in text mode"),
        ("hole", whole[:middle] + whole[middle + 100:], "corrupt", None, "100 bytes lost inside"),
        ("zeros", whole[:middle] + bytes(500) + whole[middle + 500:], "corrupt", "damage.csv",
         "500 bytes of zeros inside, as after a crash"),
    ]:
        out.bad(f"damage-{name}.zip", data, code, entry, why)
    body = {"ppmd.csv": lines("ppmd", 50)}
    data = tool("7z", "a", "-tzip", "-mm=PPMd", "out.zip", *body, files=body, result="out.zip")
    out.bad("7z-ppmd.zip", data, "unsupported", "ppmd.csv", "7-Zip -mm=PPMd, a method nobody else reads")
    noise = {"noise.csv": bytes(n * n % 251 for n in range(200_000))}
    with Desk(noise) as desk:
        desk.run("zip", "-q", "-0", "-s", "64k", "out.zip", "noise.csv")
        out.bad("iz-split.z01", desk.read("out.z01"), "unsupported", None,
                "Info-ZIP zip -s: the first volume of several")


def bombs(out):
    zeros = bytes(8 << 20)
    for name, method in [("deflate", 8), ("bzip2", 12), ("lzma", 14)]:
        out.bad(f"bomb-{name}.zip", python_zip([("zeros.csv", zeros)], method), "ratio", None,
                f"8 MiB of zeros by {name}: more than 200 times its size")
    out.bad("bomb-many.zip", python_zip([(f"{n}.csv", zeros[:1 << 20]) for n in range(9)]), "ratio", None,
            "nine members, each of which might pass")
    out.good("bomb-small.zip", python_zip([("bomb-small.csv", b"\n" * (1 << 20))]),
             {"bomb-small.csv": b"\n" * (1 << 20)}, "1 MiB is never a bomb", limits={})
    crowd = io.BytesIO()
    with zipfile.ZipFile(crowd, "w") as archive:
        for n in range(10_001):
            archive.writestr(zipfile.ZipInfo(f"{n}"), b"")
    out.bad("crowd.zip", crowd.getvalue(), "entries", None, "10,001 entries")
    fat = python_zip([("small.csv", b"1\n"), ("fat.csv", lines("fat", 100))])
    out.bad("limit-bytes.zip", fat, "bytes", "fat.csv", "more bytes than the profile allows",
            limits={"max_bytes": 1000})
    out.bad("limit-entries.zip", fat, "entries", None, "more entries than the profile allows",
            limits={"max_entries": 1})
    out.bad("limit-name.zip", fat, "name", "small.csv", "a name longer than the limit",
            limits={"max_name_bytes": 8})
    out.bad("limit-nesting.zip", python_zip([("a/b/c.csv", b"1\n")]), "name", "a/b/c.csv",
            "deeper than the limit", limits={"max_nesting": 1})


def make(out):
    names(out)
    kinds(out)
    passwords(out)
    damage(out)
    bombs(out)
