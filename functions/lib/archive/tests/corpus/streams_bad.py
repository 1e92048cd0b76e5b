"""Compressed files that must be rejected: cut, changed, followed by other bytes, and bombs."""

import hashlib
import zlib

from shelf import flipped, lines, tool
from streams import gzip_member, skippable, xz_with_dictionary, zstd_with_window

PACKERS = {"gz": "gzip", "bz2": "bzip2", "xz": "xz", "zst": "zstd"}


def damage(out):
    content = lines("broken", 8000)
    # What does not compress is stored, so that a turned bit always breaks the checksum, not the syntax.
    noise = b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(200))
    for ending, command in PACKERS.items():
        whole = tool(command, "-q", "-c", stdin=content)
        member = f"{ending}-%s.csv"
        stored = tool(command, "-q", "-c", stdin=noise)
        # The decoders of bzip2 and xz do not tell a wrong checksum from other damage.
        turned = {"gz": "crc", "bz2": "corrupt", "xz": "corrupt", "zst": "crc"}[ending]
        for name, data, code, why in [
            ("half", whole[:len(whole) // 2], "truncated", "the first half"),
            ("last", whole[:-1], "truncated", "all but the last byte"),
            ("junk", whole + b"and more\n", "corrupt", "other bytes behind the end"),
            ("late-junk", whole + bytes(64) + b"x", "corrupt", "zeros and then other bytes"),
            ("second-cut", whole + whole[:-9], "truncated", "the second of two streams is cut"),
            ("bit", flipped(stored, len(stored) // 2), turned, "one bit turned in the middle"),
        ]:
            out.bad(f"{ending}-{name}.csv.{ending}", data, code, member % name, f"{command}: {why}")
        zeros = tool(command, "-q", "-c", stdin=bytes(24 << 20))
        out.bad(f"{ending}-bomb.csv.{ending}", zeros, "ratio", member % "bomb", f"{command}: 24 MiB of zeros")
        out.bad(f"{ending}-limit.csv.{ending}", whole, "bytes", member % "limit",
                f"{command}: more bytes than the profile allows", limits={"max_bytes": 1000})


def by_hand(out):
    content = lines("hand", 40)
    good = gzip_member(content, name=b"n", check=True)
    out.bad("gz-crc.csv.gz", flipped(good, -8), "crc", "gz-crc.csv", "gzip: its CRC is another one")
    out.bad("gz-size.csv.gz", flipped(good, -4), "crc", "gz-size.csv", "gzip: its length is another one")
    out.bad("gz-header.csv.gz", flipped(good, 4), "crc", "gz-header.csv", "gzip: its header's CRC is another one")
    packed = tool("xz", "-q", "-T1", "-c", stdin=content)
    out.bad("xz-4gib.csv.xz", xz_with_dictionary(packed, 40), "unsupported", "xz-4gib.csv",
            "xz with a dictionary of 4 GiB")
    out.bad("xz-192mib.csv.xz", xz_with_dictionary(packed, 31), "unsupported", "xz-192mib.csv",
            "xz with a dictionary of 192 MiB, one step more than is read")
    flags = b"\0\x02"
    unknown = packed[:6] + flags + zlib.crc32(flags).to_bytes(4, "little") + packed[12:]
    out.bad("xz-check.csv.xz", unknown, "unsupported", "xz-check.csv", "xz with a check nobody knows")
    stream = tool("zstd", "-q", "-c", stdin=lines("hand", 40000))
    for log in [28, 31]:
        out.bad(f"zst-{log}.csv.zst", zstd_with_window(stream, log), "unsupported", f"zst-{log}.csv",
                f"zstd with a window of 2^{log} bytes")
    samples = {f"s{n}": lines(f"sample-{n}", 30) for n in range(40)}
    learnt = tool("sh", "-c", "zstd -q --train s* -o dict --maxdict=2000 2>/dev/null; zstd -q -D dict -c s1",
                  files=samples)
    out.bad("zst-dictionary.csv.zst", learnt, "unsupported", "zst-dictionary.csv",
            "zstd -D: a dictionary that did not come along")
    small = tool("zstd", "-q", "-c", stdin=content)
    out.bad("zst-skip-cut.csv.zst", small + skippable(b"0123456789")[:-3], "truncated", "zst-skip-cut.csv",
            "zstd: a skippable frame that is cut")
    out.bad("zst-crc.csv.zst", flipped(small, -1), "crc", "zst-crc.csv", "zstd: its checksum is another one")
    out.bad("...gz", gzip_member(content), "traversal", "..", "a file name that leaves .. for its member",
            limits={})


def make(out):
    damage(out)
    by_hand(out)
