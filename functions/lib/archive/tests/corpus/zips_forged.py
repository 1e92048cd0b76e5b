"""Zips put together byte by byte: what no maker makes, and an attacker or a broken program may."""

import struct
import zlib

from shelf import lines, tool

ZIP64 = 0xFFFFFFFF


class Entry:
    """An entry as the bytes will say it, true or not. `local` overrides what the local header says."""

    def __init__(self, name, content, method=0, packed=None, **told):
        self.name, self.method = name.encode(), method
        self.packed = content if packed is None else packed
        self.told = {"flags": 0x800, "crc": zlib.crc32(content), "stored": len(self.packed),
                     "size": len(content), "extra": b"", "disk": 0, "offset": None, "local": {}, **told}

    def common(self, told):
        return struct.pack("<HHHHIII", told["flags"], told.get("says_method", self.method), 0, 0x21,
                           told["crc"], told["stored"], told["size"])

    def local_header(self):
        told = {**self.told, "extra": b"", **self.told["local"]}
        name = told.get("name", self.name)
        return (b"PK\x03\x04\x2d\x00" + self.common(told)
                + struct.pack("<HH", len(name), len(told["extra"])) + name + told["extra"])

    def record(self, offset):
        told = self.told
        offset = offset if told["offset"] is None else told["offset"]
        return (b"PK\x01\x02\x2d\x03\x2d\x00" + self.common(told)
                + struct.pack("<HHHHHII", len(self.name), len(told["extra"]), 0, told["disk"], 0,
                              0o100644 << 16, offset)
                + self.name + told["extra"])


def forge(*entries, end=None, between=b""):
    """The zip of the entries; `end` overrides fields of the end record."""
    body, directory = b"", b""
    for entry in entries:
        directory += entry.record(len(body))
        if entry.told["offset"] is None:
            body += entry.local_header() + entry.packed
    told = {"disk": 0, "start_disk": 0, "here": len(entries), "entries": len(entries),
            "length": len(directory), "offset": len(body), "comment": b"", **(end or {})}
    tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", told["disk"], told["start_disk"], told["here"],
                       told["entries"], told["length"], told["offset"], len(told["comment"]))
    return body + directory + between + tail + told["comment"]


def locator64(end64_at, disks=1):
    return struct.pack("<4sIQI", b"PK\x06\x07", 0, end64_at, disks)


def end64(entries, length, offset, disk=0, here=None):
    return struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, disk, disk,
                       entries if here is None else here, entries, length, offset)


def zip64_of(entry, told=(), **end):
    """A zip of one entry with a zip64 end record; `told` is what the plain one says instead."""
    body, record = entry.local_header() + entry.packed, entry.record(0)
    said = {"entries": 1, "length": len(record), "offset": len(body), **dict(told)}
    return (body + record + end64(1, len(record), len(body), **end) + locator64(len(body) + len(record))
            + struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, said["entries"], said["entries"],
                          said["length"], said["offset"], 0))


def deflate(content):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def good(out):
    for name, method, packed_by in [("zstd", 93, ["zstd", "-19"]), ("zstd-old", 20, ["zstd", "-1"]),
                                    ("xz", 95, ["xz", "-6"])]:
        content = lines(name, 2000)
        packed = tool(*packed_by, "-c", stdin=content)
        out.good(f"forged-{name}.zip", forge(Entry(f"forged-{name}.csv", content, method, packed)),
                 {f"forged-{name}.csv": content}, f"method {method} around the output of {packed_by[0]}")
    content = lines("sentinels", 10)
    size = len(content)
    field = struct.pack("<HHQQQ", 1, 24, size, size, 0)
    entry = Entry("forged-zip64.csv", content, stored=ZIP64, size=ZIP64, offset=None, extra=field,
                  local={"extra": struct.pack("<HHQQ", 1, 16, size, size)})
    body = entry.local_header() + content
    record = entry.record(ZIP64)
    tail = (end64(1, len(record), len(body)) + locator64(len(body) + len(record))
            + struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, ZIP64, ZIP64, 0))
    out.good("forged-zip64.zip", body + record + tail, {"forged-zip64.csv": content},
             "zip64 with every field that it can hold")
    out.bad("forged-zip64-volumes.zip", body + record + tail.replace(locator64(len(body) + len(record)),
            locator64(len(body) + len(record), 2)), "unsupported", None, "zip64 on two volumes")
    entry = Entry("forged-both.csv", content)
    out.good("forged-zip64-both.zip", zip64_of(entry), {"forged-both.csv": content},
             "zip64 and plain end records that say the same")
    for field, value in [("entries", 2), ("length", 7), ("offset", 7)]:
        out.bad(f"forged-zip64-{field}.zip", zip64_of(entry, {field: value}), "corrupt", None,
                f"two end records that disagree about the {field}")
    out.bad("forged-zip64-disk.zip", zip64_of(entry, disk=1), "unsupported", None,
            "a zip64 end record on another volume")
    out.bad("forged-zip64-here.zip", zip64_of(entry, here=2), "unsupported", None,
            "a zip64 end record that counts entries of other volumes")
    out.bad("forged-zip64-astray.zip", body + record + b"." + tail, "corrupt", None,
            "a zip64 end record that is not where its locator says")
    out.bad("forged-zip64-unsigned.zip", body + record + tail.replace(b"PK\x06\x06", b"PK\x06\x08"),
            "corrupt", None, "a zip64 end record without its signature")


def contradictions(out):
    text = lines("forged", 30)
    packed = deflate(text)

    def row(stem, data, code, entry, why, **more):
        out.bad(f"forged-{stem}.zip", data, code, entry, why, **more)

    def one(**told):
        return forge(Entry("good.csv", b"1\n"), Entry("m.csv", text, 8, packed, **told))

    row("crc", one(crc=1, local={"crc": 1}), "crc", "m.csv", "a checksum of something else")
    row("crc-local", one(local={"crc": 1}), "corrupt", "m.csv", "header and directory: two checksums")
    row("less", one(size=len(text) - 1), "corrupt", "m.csv", "it says one byte less than it holds")
    row("more", one(size=len(text) + 1), "corrupt", "m.csv", "it says one byte more than it holds")
    row("size-local", one(local={"size": 5}), "corrupt", "m.csv", "header and directory: two sizes")
    row("stored-local", one(local={"stored": 5}), "corrupt", "m.csv", "header and directory: two lengths")
    row("name-local", one(local={"name": b"n.csv"}), "corrupt", "m.csv", "header and directory: two names")
    row("method-local", one(local={"says_method": 0}), "corrupt", "m.csv", "header and directory: two methods")
    field = struct.pack("<HHQQ", 1, 16, len(text), 7)
    row("zip64-local", one(local={"size": ZIP64, "stored": ZIP64, "extra": field}), "corrupt", "m.csv",
        "the header's zip64 field says another length than the directory")
    row("sentinel-local", one(local={"size": ZIP64, "stored": ZIP64}), "corrupt", "m.csv",
        "a header that points to a zip64 field it does not have")
    row("crypt-local", one(local={"flags": 0x801}), "corrupt", "m.csv", "only the header says encrypted")
    row("slack", forge(Entry("m.csv", text, 8, packed + b"slack")), "corrupt", "m.csv",
        "bytes behind the end of the compressed content")
    row("cut", forge(Entry("m.csv", text, 8, packed[:-9])), "truncated", "m.csv",
        "compressed content that ends too early")
    row("strong", one(flags=0x841), "unsupported", "m.csv", "PKWARE's strong encryption")
    row("masked", one(flags=0x2801), "unsupported", "m.csv", "an encrypted directory masks its headers")
    row("patch", one(flags=0x820), "unsupported", "m.csv", "compressed patched data")
    row("method", forge(Entry("m.csv", text, 97)), "unsupported", "m.csv", "WavPack, a method for sound")
    row("aes-open", one(flags=0x800, says_method=99), "corrupt", "m.csv", "AES without its parameters")
    row("aes-kind", forge(Entry("m.csv", text, 99, flags=0x801,
                                extra=struct.pack("<HHH2sBH", 0x9901, 7, 3, b"AE", 3, 8))),
        "unsupported", "m.csv", "AES of a version nobody knows", password="x")
    row("aes-open-kind", forge(Entry("m.csv", text, 99, flags=0x800,
                                     extra=struct.pack("<HHH2sBH", 0x9901, 7, 2, b"AE", 3, 0))),
        "corrupt", "m.csv", "AES with its parameters, and not encrypted")
    row("disk", one(disk=1), "unsupported", "m.csv", "an entry on another volume")
    row("disk-end", forge(Entry("m.csv", text), end={"disk": 1}), "unsupported", None,
        "the last of two volumes")
    row("counted-less", forge(Entry("a.csv", b"1\n"), Entry("b.csv", b"2\n"), end={"here": 1, "entries": 1}),
        "corrupt", None, "two entries, of which one is counted")
    row("counted-more", forge(Entry("a.csv", b"1\n"), end={"here": 2, "entries": 2}), "truncated", None,
        "one entry, of which two are counted")
    row("shifted", forge(Entry("a.csv", b"1\n"), end={"offset": 3}), "corrupt", None,
        "a directory that is not where the end says")
    row("beyond", forge(Entry("m.csv", text, stored=1 << 30)), "corrupt", "m.csv",
        "an entry that reaches beyond the end")


def two_readings(out):
    """Archives in which two readers would see two different contents."""
    inner = forge(Entry("hidden.csv", b"hidden\n"))
    comment = forge(Entry("shown.csv", b"shown\n"), end={"comment": inner[-22:]})
    out.bad("forged-two-ends.zip", comment, "corrupt", None, "a comment that is an end record itself")
    shown = Entry("shown.csv", b"shown\n")
    other = Entry("other.csv", b"other\n").record(0)
    body = shown.local_header() + shown.packed + other
    at = len(body) - len(other)
    record64 = end64(1, len(other), at)
    field = record64 + locator64(len(body))
    record = shown.record(0)
    record = record[:32] + struct.pack("<H", len(field)) + record[34:] + field
    tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 1, 1, len(record), len(body), 0)
    out.bad("forged-two-directories.zip", body + record + tail, "corrupt", None,
            "a zip64 locator in the last comment leads some readers to another directory")


def overlaps(out):
    kernel = lines("kernel", 200)
    twin = [Entry("kernel-a.csv", kernel)] + [
        Entry(f"kernel-{n}.csv", kernel, offset=0) for n in "bcd"]
    out.bad("forged-overlap.zip", forge(*twin), "overlap", "kernel-", "many entries share one content")
    inner = Entry("inner.csv", kernel)
    quoted = Entry("outer.csv", inner.local_header() + kernel)
    at = len(quoted.local_header())
    out.bad("forged-nested.zip", forge(quoted, Entry("inner.csv", kernel, offset=at)), "overlap",
            "inner.csv", "the flat bomb: an entry's content holds the next entry")
    reach = Entry("reach.csv", b"12345678901234567890", stored=60, size=60)
    out.bad("forged-directory-as-content.zip", forge(reach), "corrupt", "reach.csv",
            "an entry's content is the directory")
    pushed = forge(Entry("first.csv", b"0123456789\n"), Entry("second.csv", b"0123456789\n"))
    at = pushed.index(b"first.csv") - 2
    out.bad("forged-pushed.zip", pushed[:at] + b"\x05" + pushed[at + 1:], "overlap", "first.csv",
            "a local extra field pushes the content over the next entry")


def make(out):
    good(out)
    contradictions(out)
    two_readings(out)
    overlaps(out)
