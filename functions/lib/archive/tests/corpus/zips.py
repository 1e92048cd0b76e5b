"""Good zips of Python, Info-ZIP, 7-Zip, bsdtar and pyzipper."""

import io
import zipfile
import zlib

import pyzipper

from shelf import lines, tool

PASSWORD = "haul-42"


class Pipe(io.RawIOBase):
    """An output that cannot seek, so that sizes go into data descriptors."""

    def __init__(self):
        self.data = bytearray()

    def writable(self):
        return True

    def write(self, data):
        self.data += bytes(data)
        return len(data)


class RawName(zipfile.ZipInfo):
    """An entry whose name is bytes of some charset, flagged as UTF-8 or not."""

    raw, utf8 = b"", False

    def _encodeFilenameFlags(self):
        return self.raw, self.flag_bits & ~0x800 | (0x800 if self.utf8 else 0)


def python_zip(members, method=zipfile.ZIP_DEFLATED, out=None, comment=b""):
    """Written by zipfile; a name may be a ZipInfo, and a name that ends with / makes a folder."""
    out = io.BytesIO() if out is None else out
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content, method)
        archive.comment = comment
    return bytes(out.data) if isinstance(out, Pipe) else out.getvalue()


def raw_name(raw, utf8=False, extra=b""):
    info = RawName("placeholder")
    info.raw, info.utf8, info.extra = raw, utf8, extra
    return info


def unicode_path(name, belongs_to):
    """Info-ZIP's Unicode Path extra field."""
    body = b"\x01" + zlib.crc32(belongs_to).to_bytes(4, "little") + name.encode()
    return b"\x75\x70" + len(body).to_bytes(2, "little") + body


def by_python(out):
    for name, method in [("stored", 0), ("deflate", 8), ("bzip2", 12), ("lzma", 14)]:
        body = {f"py-{name}-a.csv": lines(name, 4000), f"d/py-{name}-b.csv": lines(name, 3)}
        data = python_zip([("d/", b""), *body.items()], method)
        out.good(f"py-{name}.zip", data, body, f"Python zipfile, method {method}, with a folder")
    body = {"py-pipe-a.csv": lines("pipe", 5000), "py-pipe-b.csv": lines("pipe", 1)}
    out.good("py-pipe.zip", python_zip(body.items(), out=Pipe()), body,
             "Python zipfile into a pipe: data descriptors")
    for name, target in [("file", io.BytesIO()), ("pipe", Pipe())]:
        content = lines(name, 900)
        with zipfile.ZipFile(target, "w", 8) as archive:
            with archive.open(f"py-zip64-{name}.csv", "w", force_zip64=True) as member:
                member.write(content)
        data = bytes(target.data) if name == "pipe" else target.getvalue()
        out.good(f"py-zip64-{name}.zip", data, {f"py-zip64-{name}.csv": content},
                 f"Python zipfile with zip64 forced, into a {name}")
    out.good("py-empty.zip", python_zip([], comment=b"nothing today"), {},
             "Python zipfile without entries, with a comment")
    body = {"py-none.csv": b"", "py-one.csv": b"1\n"}
    out.good("py-empty-member.zip", python_zip(body.items()), body, "Python zipfile, an empty member")
    body = {"py-comment.csv": lines("comment", 20)}
    comment = b"as quoted: PK\x05\x06 " + b"." * 60
    out.good("py-comment.zip", python_zip(body.items(), comment=comment), body,
             "Python zipfile, a comment with an end mark that is no end record")
    out.good("py-long-comment.zip", python_zip([("py-long-comment.csv", b"1\n")], comment=b"." * 65535),
             {"py-long-comment.csv": b"1\n"}, "Python zipfile, the longest comment")
    body = {f"many/py-many-{n:04}.csv": b"%d\n" % n for n in range(400)}
    out.good("py-many.zip", python_zip(body.items()), body, "Python zipfile, 400 members")
    inner = python_zip([("../evil.txt", b"x")])
    out.good("py-nested.zip", python_zip([("py-inner.zip", inner)], 0), {"py-inner.zip": inner},
             "a zip in a zip, which is delivered and not opened", limits={})
    zipped = python_zip([("py-sfx.csv", lines("sfx", 3))])
    out.plain("py-prepended.zip", b"#!/bin/sh\nexit 1\n" + zipped,
              "a self-extracting zip: its first bytes are a script, so it is carried on as a file",
              limits={})
    out.good("py-marker.zip", shifted(zipped, b"PK00"), {"py-sfx.csv": lines("sfx", 3)},
             "a spanned zip that fitted one volume keeps the marker PK00 in front")


def shifted(zipped, front):
    """The zip of one member behind other bytes, its offsets put right."""
    record, end = zipped.rindex(b"PK\x01\x02"), zipped.rindex(b"PK\x05\x06")
    offset = len(front).to_bytes(4, "little")
    start = (record + len(front)).to_bytes(4, "little")
    return (front + zipped[:record + 42] + offset + zipped[record + 46:end + 16] + start
            + zipped[end + 20:])


def named(out):
    def row(file, info, name, why, charset="utf-8"):
        content = lines(file, 5)
        out.good(file, python_zip([(info, content)]), {name: content}, why, charset=charset)

    row("name-utf8-flag.zip", "Übersicht-zip.csv", "Übersicht-zip.csv", "Python: UTF-8 by its flag")
    row("name-utf8.zip", raw_name("Größe-utf8.csv".encode()), "Größe-utf8.csv",
        "UTF-8 without the flag, as old Info-ZIP wrote it")
    row("name-cp437.zip", raw_name("Größe-437.csv".encode("cp437")), "Größe-437.csv",
        "CP437 without a profile that says so: what the format prescribes")
    row("name-cp437-set.zip", raw_name("Maß-437.csv".encode("cp437")), "Maß-437.csv",
        "CP437, set in the profile", "cp437")
    row("name-cp932.zip", raw_name("売上表-ソ.csv".encode("cp932")), "売上表-ソ.csv",
        "CP932, with a letter whose second byte is a backslash", "cp932")
    row("name-cp1252.zip", raw_name("Übergröße€.csv".encode("cp1252")), "Übergröße€.csv",
        "CP1252", "cp1252")
    row("name-flag-wins.zip", "Flagge-ü.csv", "Flagge-ü.csv", "the flag wins over the profile", "cp1252")
    row("name-0x7075.zip", raw_name(b"plain7075.csv", extra=unicode_path("Ünicode.csv", b"plain7075.csv")),
        "Ünicode.csv", "Info-ZIP's Unicode Path field")
    row("name-0x7075-stale.zip", raw_name(b"renamed.csv", extra=unicode_path("Ülder.csv", b"older.csv")),
        "renamed.csv", "a Unicode Path field of another name does not count")
    row("name-dots.zip", "./x//y/./dots.csv", "x/y/dots.csv", "dots and doubled slashes vanish")
    row("name-backslash.zip", raw_name(b"back\\slash.csv"), "back/slash.csv",
        "backslashes, as old .NET wrote them")
    row("name-odd.zip", "12:30 'q\" $(x) 100% a..b.csv", "12:30 'q\" $(x) 100% a..b.csv",
        "letters that shells mind and files do not")


def by_infozip(out):
    def row(stem, why, *flags, password=None, name=None, more=()):
        body = {f"{stem}-a.csv": lines(stem, 3000), f"d/{stem}-b.csv": lines(stem, 2)}
        if name:
            body = {name: lines(stem, 10)}
        command = ["zip", "-q", "-r", *flags, "out.zip", *body, *more]
        data = tool(*command, files=body, result="out.zip")
        out.good(f"{stem}.zip", data, body, f"Info-ZIP zip {why}", password=password)

    row("iz-deflate", "-9, with folders and Unix fields", "-9", more=["d"])
    row("iz-stored", "-0", "-0")
    row("iz-bzip2", "-Z bzip2", "-Z", "bzip2")
    row("iz-zip64", "-fz: zip64 although it is small", "-fz")
    row("iz-plain", "-X: no extra fields", "-X")
    row("iz-unicode", "with a name that is not ASCII", name="Straße-iz.csv")
    row("iz-crypt", "-P: ZipCrypto", "-P", PASSWORD, password=PASSWORD)
    body = {"iz-pipe-a.csv": lines("iz-pipe", 3000), "iz-pipe-b.csv": b""}
    out.good("iz-pipe.zip", tool("sh", "-c", "zip -q - * | cat", files=body), body,
             "Info-ZIP zip to a pipe: data descriptors")
    out.good("iz-crypt-pipe.zip",
             tool("sh", "-c", f"zip -q -P {PASSWORD} - * | cat", files={"iz-cp.csv": b"a\nb\n"}),
             {"iz-cp.csv": b"a\nb\n"},
             "Info-ZIP zip -P to a pipe: the password is checked by the time", password=PASSWORD)
    content = lines("iz-stdin", 50)
    out.good("iz-stdin.zip", tool("sh", "-c", "zip -q - - | cat", stdin=content), {"-": content},
             "Info-ZIP zip of its standard input, a member named - that has the mode of a pipe")
    body = {"iz-kept.csv": lines("kept", 9), "iz-gone.csv": lines("gone", 9)}
    data = tool("sh", "-c", "zip -q out.zip *.csv && zip -q -d out.zip iz-gone.csv", files=body,
                result="out.zip")
    out.good("iz-deleted.zip", data, {"iz-kept.csv": body["iz-kept.csv"]},
             "Info-ZIP zip -d: an entry was deleted")


def by_7zip(out):
    def row(stem, why, *flags, password=None):
        body = {f"{stem}-a.csv": lines(stem, 3000), f"d/{stem}-b.csv": lines(stem, 2)}
        if password:
            flags = [*flags, f"-p{password}"]
        data = tool("7z", "a", "-tzip", "-bd", *flags, "out.zip", *body, files=body, result="out.zip")
        out.good(f"{stem}.zip", data, body, f"7-Zip {why}", password=password)

    for method in ["Copy", "Deflate", "Deflate64", "BZip2", "LZMA"]:
        row(f"7z-{method.lower()}", f"-mm={method}", f"-mm={method}")
    row("7z-deflate64-9", "-mm=Deflate64 -mx=9", "-mm=Deflate64", "-mx=9")
    for bits in [128, 192, 256]:
        row(f"7z-aes{bits}", f"-mem=AES{bits}", f"-mem=AES{bits}", password=PASSWORD)
    row("7z-aes-lzma", "LZMA under AES", "-mm=LZMA", "-mem=AES256", password=PASSWORD)
    row("7z-aes-deflate64", "Deflate64 under AES", "-mm=Deflate64", "-mem=AES256", password=PASSWORD)
    row("7z-crypt", "-mem=ZipCrypto", "-mem=ZipCrypto", password=PASSWORD)


def by_bsdtar(out):
    for stem, options, password in [
        ("bsd-deflate", "zip:compression=deflate", None),
        ("bsd-store", "zip:compression=store", None),
        ("bsd-zip64", "zip:zip64", None),
        ("bsd-aes256", "zip:encryption=aes256", PASSWORD),
        ("bsd-aes128", "zip:encryption=aes128", PASSWORD),
        ("bsd-crypt", "zip:encryption=zipcrypt", PASSWORD),
    ]:
        body = {f"{stem}-a.csv": lines(stem, 2000), f"d/{stem}-b.csv": lines(stem, 2)}
        command = ["bsdtar", "--format", "zip", "--options", options, "-cf", "-"]
        command += ["--passphrase", password] if password else []
        out.good(f"{stem}.zip", tool(*command, *body, files=body), body,
                 f"bsdtar {options} to a pipe, which it fills up with zeros", password=password)


def pyzipper_zip(members, password, method=zipfile.ZIP_DEFLATED, **encryption):
    out = io.BytesIO()
    with pyzipper.AESZipFile(out, "w", compression=method) as archive:
        archive.setpassword(password.encode())
        archive.setencryption(pyzipper.WZ_AES, **encryption)
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def by_pyzipper(out):
    for bits in [128, 192, 256]:
        for version in [1, 2]:
            stem = f"pyz-{bits}-ae{version}"
            body = {f"{stem}-a.csv": lines(stem, 1500), f"{stem}-b.csv": lines(stem, 1)}
            data = pyzipper_zip(body, PASSWORD, nbits=bits, force_wz_aes_version=version)
            out.good(f"{stem}.zip", data, body, f"pyzipper, AES-{bits}, AE-{version}", password=PASSWORD)
    for name, method in [("stored", 0), ("bzip2", 12), ("lzma", 14)]:
        body = {f"pyz-{name}.csv": lines(name, 1500), f"pyz-{name}-empty.csv": b""}
        data = pyzipper_zip(body, PASSWORD, method, nbits=256)
        out.good(f"pyz-{name}.zip", data, body, f"pyzipper, AES-256 over {name}", password=PASSWORD)
    body = {"pyz-umlaut.csv": lines("umlaut", 5)}
    out.good("pyz-umlaut.zip", pyzipper_zip(body, "Grüße", nbits=256), body,
             "a password that is not ASCII, in UTF-8", password="Grüße")
    body = {"pyz-spare.csv": lines("spare", 9)}
    out.good("pyz-password-unused.zip", python_zip(body.items()), body,
             "a password in the profile does not harm an open archive", password=PASSWORD)


def make(out):
    by_python(out)
    named(out)
    by_infozip(out)
    by_7zip(out)
    by_bsdtar(out)
    by_pyzipper(out)
