"""Good gzip, bzip2, xz and zstd files: one stream or many, with all that headers may hold."""

import struct
import zlib

from shelf import lines, tool


def gzip_member(content, extra=None, name=None, comment=None, check=False, text=False):
    """A gzip member with any of the header's optional fields."""
    flags = text | check << 1 | bool(extra) << 2 | bool(name) << 3 | bool(comment) << 4
    head = b"\x1f\x8b\x08" + bytes([flags]) + struct.pack("<IBB", 1_700_000_000, 2, 3)
    if extra:
        head += struct.pack("<H", len(extra)) + extra
    head += name + b"\0" if name else b""
    head += comment + b"\0" if comment else b""
    head += struct.pack("<H", zlib.crc32(head) & 0xFFFF) if check else b""
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return (head + packer.compress(content) + packer.flush()
            + struct.pack("<II", zlib.crc32(content), len(content)))


def xz_with_dictionary(packed, code):
    """An xz file whose first block asks for another dictionary, its header's checksum put right."""
    size = (packed[12] + 1) * 4
    header = bytearray(packed[12:12 + size])
    at = header.index(b"\x21\x01") + 2
    header[at] = code
    header[-4:] = zlib.crc32(bytes(header[:-4])).to_bytes(4, "little")
    return packed[:12] + bytes(header) + packed[12 + size:]


def zstd_with_window(packed, log):
    """A zstd file, made from a pipe, that asks for another window."""
    assert packed[4] & 0x20 == 0, "a single segment has no window of its own"
    return packed[:5] + bytes([(log - 10) << 3]) + packed[6:]


def skippable(content):
    return b"\x5a\x2a\x4d\x18" + len(content).to_bytes(4, "little") + content


TOOLS = {
    "gz": [("gz", "gzip", []), ("gz-fast", "gzip", ["-1"]), ("gz-best", "gzip", ["-9", "-n"])],
    "bz2": [("bz2", "bzip2", []), ("bz2-small", "bzip2", ["-1"])],
    "xz": [("xz", "xz", []), ("xz-best", "xz", ["-9", "-T1"]), ("xz-crc32", "xz", ["--check=crc32"]),
           ("xz-sha256", "xz", ["--check=sha256"]), ("xz-unchecked", "xz", ["--check=none"]),
           ("xz-blocks", "xz", ["--block-size=20000"]), ("xz-threads", "xz", ["-T2"]),
           ("xz-delta", "xz", ["--delta=dist=2", "--lzma2=preset=6"])],
    "zst": [("zst", "zstd", []), ("zst-best", "zstd", ["-19"]), ("zst-unchecked", "zstd", ["--no-check"]),
            ("zst-long", "zstd", ["--long=24"])],
}


def by_tools(out):
    for ending, rows in TOOLS.items():
        for name, command, flags in rows:
            content = lines(name, 6000)
            data = tool(command, "-q", *flags, "-c", f"{name}.csv", files={f"{name}.csv": content})
            out.good(f"{name}.csv.{ending}", data, {f"{name}.csv": content},
                     f"{command} {' '.join(flags)}".strip())
        command = rows[0][1]
        packed = [tool(command, "-q", "-c", stdin=part)
                  for part in (lines(f"one-{ending}", 900), b"", lines("two", 900))]
        whole = lines(f"one-{ending}", 900) + lines("two", 900)
        for name, data, why in [
            (f"cat-{ending}", b"".join(packed), "three streams after each other, one of them empty"),
            (f"padded-{ending}", b"".join(packed) + bytes(512), "zeros behind the last stream"),
            (f"between-{ending}", packed[0] + bytes(8) + packed[2], "zeros between two streams"),
        ]:
            out.good(f"{name}.csv.{ending}", data, {f"{name}.csv": whole}, f"{command}: {why}")
        out.good(f"none-{ending}.csv.{ending}", packed[1], {f"none-{ending}.csv": b""},
                 f"{command} of nothing")


def by_hand(out):
    content = lines("fields", 40)
    data = gzip_member(content, extra=b"AB\x04\0abcd", name=b"../../etc/passwd", comment=b"weekly",
                       check=True, text=True)
    out.good("gz-fields.csv.gz", data, {"gz-fields.csv": content},
             "gzip with every optional field; the name inside is not believed")
    out.good("GZ-CAPITALS.CSV.GZ", gzip_member(content), {"GZ-CAPITALS.CSV": content},
             "a suffix in capitals")
    out.good("gz-without-suffix", gzip_member(content), {"gz-without-suffix": content},
             "no suffix at all: the member keeps the name")
    out.good("gz-no-tar.tgz", gzip_member(content), {"gz-no-tar.tar": content},
             "called .tgz, but no tar is inside")
    blocks = [content[at:at + 200] for at in range(0, len(content), 200)] + [b""]
    data = b"".join(gzip_member(block, extra=b"BC\x02\0\0\0") for block in blocks)
    out.good("gz-blocked.csv.gz", data, {"gz-blocked.csv": content}, "many small members, as bgzip writes")
    packed = tool("xz", "-q", "-T1", "-c", stdin=content)
    out.good("xz-64mib.csv.xz", xz_with_dictionary(packed, 28), {"xz-64mib.csv": content},
             "xz with a dictionary of 64 MiB, as -9 has")
    out.good("xz-128mib.csv.xz", xz_with_dictionary(packed, 30), {"xz-128mib.csv": content},
             "xz with a dictionary of 128 MiB, the largest that is read")
    packed = tool("zstd", "-q", "-c", stdin=lines("fields", 40000))
    out.good("zst-128mib.csv.zst", zstd_with_window(packed, 27), {"zst-128mib.csv": lines("fields", 40000)},
             "zstd with a window of 128 MiB, the largest that is read")
    small = tool("zstd", "-q", "-c", stdin=content)
    for name, data, why in [
        ("front", skippable(b"pz") + small, "a skippable frame in front, as pzstd writes"),
        ("fronts", skippable(b"") + skippable(b"note" * 99) + small, "two skippable frames in front"),
        ("behind", small + skippable(b"seek table"), "a skippable frame behind, as seekable zstd has"),
    ]:
        out.good(f"zst-{name}.csv.zst", data, {f"zst-{name}.csv": content}, why)
    grown = small + zstd_with_window(packed, 27)
    out.good("zst-grown.csv.zst", grown, {"zst-grown.csv": content + lines("fields", 40000)},
             "a small window first and a large one in the second frame")
    out.plain("plain.csv", lines("plain", 30), "no archive: carried on as it is")
    out.plain("plain-bzh.csv", b"BZh9 is how this text begins\n", "text that begins as bzip2 does")


def make(out):
    by_tools(out)
    by_hand(out)
