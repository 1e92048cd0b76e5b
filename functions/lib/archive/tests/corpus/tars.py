"""Good tars of GNU tar, bsdtar and Python, plain and compressed."""

import bz2
import gzip
import io
import lzma
import tarfile

from shelf import Desk, lines, tool


def python_tar(members, mode="w", form=tarfile.PAX_FORMAT, encoding="utf-8", **more):
    """Written by tarfile. A member is a name or a TarInfo with its content."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=form, encoding=encoding, **more) as archive:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if info.isreg():
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def info(name, kind=tarfile.REGTYPE, **fields):
    made = tarfile.TarInfo(name)
    made.type = kind
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def by_gnu_tar(out):
    long = "n" * 110
    for form in ["v7", "oldgnu", "gnu", "ustar", "pax"]:
        stem = f"gnu-{form}"
        body = {f"{stem}-a.csv": lines(stem, 800), f"d/{stem}-b.csv": b"1\n", f"d/{stem}-none.csv": b""}
        if form != "v7":
            body[f"{'f' * 90}/{stem}-{long if form != 'ustar' else 'u'}.csv"] = lines("long", 3)
        data = tool("tar", f"--format={form}", "-cf", "-", *body, files=body)
        out.good(f"{stem}.tar", data, body, f"GNU tar --format={form}, long names where it can")
    for flag, ending in [("-z", "tar.gz"), ("-j", "tar.bz2"), ("-J", "tar.xz"), ("--zstd", "tar.zst")]:
        stem = f"gnu-{ending.replace('.', '-')}"
        body = {f"{stem}-a.csv": lines(stem, 3000), f"d/{stem}-b.csv": lines(stem, 4)}
        out.good(f"{stem}.{ending}", tool("tar", flag, "-cf", "-", *body, files=body), body,
                 f"GNU tar {flag}")
    body = {"folders/gnu-folders.csv": lines("folders", 2)}
    out.good("gnu-folders.tgz", tool("tar", "-czf", "-", "folders", files=body), body,
             "GNU tar of a folder, as .tgz")
    out.good("gnu-dot.tar", tool("tar", "-cf", "-", ".", files={"gnu-dot.csv": b"1\n"}),
             {"gnu-dot.csv": b"1\n"}, "GNU tar of the folder itself: names begin with ./")
    out.good("gnu-label.tar", tool("tar", "-V", "the label", "-cf", "-", "gnu-label.csv",
                                   files={"gnu-label.csv": b"1\n"}),
             {"gnu-label.csv": b"1\n"}, "GNU tar -V: a volume label in front")
    for stem, cut, more, why in [("blocks", 0, 0, "nothing behind the end mark"),
                                 ("one-block", 512, 0, "one block of zeros at the end instead of two"),
                                 ("padded", 0, 65536, "64 KiB of zeros behind the end")]:
        body = {f"gnu-{stem}.csv": lines(stem, 7)}
        data = tool("tar", "-b", "1", "-cf", "-", *body, files=body)
        out.good(f"gnu-{stem}.tar", data[:len(data) - cut] + bytes(more), body, f"GNU tar -b 1: {why}")
    out.good("gnu-no-suffix.dat", tool("tar", "-czf", "-", "gnu-dat.csv", files={"gnu-dat.csv": b"1\n"}),
             {"gnu-dat.csv": b"1\n"}, "GNU tar -z: the name tells nothing, the bytes tell all")
    with Desk({"gnu-xattr.csv": b"1\n"}) as desk:
        desk.run("tar", "--format=pax", "--pax-option=comment=hello,globexthdr.name=/g%n,mtime:=1.5",
                 "-cf", "out.tar", "gnu-xattr.csv")
        out.good("gnu-pax-options.tar", desk.read("out.tar"), {"gnu-xattr.csv": b"1\n"},
                 "GNU tar with PAX records that do not matter")
    empty = tool("tar", "-cf", "-", "-T", "/dev/null")
    out.plain("gnu-empty.tar", empty, "GNU tar of nothing: only zeros, which could be anything",
              limits={})


def by_bsdtar(out):
    for form in ["pax", "ustar", "gnutar", "v7"]:
        stem = f"bsdtar-{form}"
        body = {f"{stem}-a.csv": lines(stem, 700), f"d/{stem}-b.csv": lines(stem, 1)}
        if form in ("pax", "gnutar"):
            body[f"d/{stem}-{'ü' * 70}.csv"] = lines(stem, 2)
        out.good(f"{stem}.tar", tool("bsdtar", "--format", form, "-cf", "-", *body, files=body), body,
                 f"bsdtar --format {form}")
    for flag, ending in [("-z", "tgz"), ("-j", "tbz2"), ("-J", "txz"), ("--zstd", "tzst")]:
        stem = f"bsdtar-{ending}"
        body = {f"{stem}.csv": lines(stem, 3000)}
        out.good(f"{stem}.{ending}", tool("bsdtar", flag, "-cf", "-", *body, files=body), body,
                 f"bsdtar {flag}")
    body = {"7z-tar-a.csv": lines("7z-tar", 5), "7z-tar-b.csv": b"1\n"}
    out.good("7z.tar", tool("7z", "a", "-ttar", "-bd", "out.tar", *body, files=body, result="out.tar"), body,
             "7-Zip -ttar")


def by_python(out):
    for name, form in [("ustar", tarfile.USTAR_FORMAT), ("gnu", tarfile.GNU_FORMAT),
                       ("pax", tarfile.PAX_FORMAT)]:
        body = {f"py-tar-{name}.csv": lines(name, 60), f"{'d' * 60}/{'e' * 60}/py-deep-{name}.csv": b"1\n"}
        out.good(f"py-{name}.tar", python_tar(body.items(), form=form), body, f"Python tarfile, {name}")
    body = {"py-global-ä.csv": lines("global", 3)}
    data = python_tar(body.items(), pax_headers={"comment": "1f3c", "mtime": "12.5"})
    out.good("py-global.tar", data, body, "Python tarfile with a global PAX header, as git archive writes")
    member = info("ignored", pax_headers={"path": "py-path.csv", "size": "2"})
    out.good("py-pax-size.tar", python_tar([(member, b"1\n")]), {"py-path.csv": b"1\n"},
             "PAX path and size; the size agrees with the header")
    data = python_tar([(info("py-contiguous.csv", tarfile.CONTTYPE), b"1\n")])
    out.good("py-contiguous.tar", data, {"py-contiguous.csv": b"1\n"}, "a contiguous file is a file")
    member = info("py-base256.csv", uid=1 << 40, gid=1 << 41)
    out.good("py-base256.tar", python_tar([(member, b"1\n")], form=tarfile.GNU_FORMAT),
             {"py-base256.csv": b"1\n"}, "owners beyond octal numbers, in base 256")
    again = [(info("d", tarfile.DIRTYPE), b"")] * 2 + [("d/py-again.csv", b"1\n")]
    out.good("py-folder-again.tar", python_tar(again), {"d/py-again.csv": b"1\n"},
             "a folder that comes twice, as appending makes it")
    out.good("py-folders-only.tar", python_tar(again[:1]), {}, "a tar of one folder and no file")
    nested = python_tar([("x.csv", b"1\n")])
    out.good("py-nested.tar", python_tar([("py-inner.tar", nested)]), {"py-inner.tar": nested},
             "a tar in a tar, which is delivered and not opened", limits={})
    content = lines("cp1252", 4)
    data = python_tar([("Größe-tar.csv", content)], form=tarfile.GNU_FORMAT, encoding="cp1252")
    out.good("name-cp1252.tar", data, {"Größe-tar.csv": content}, "GNU tar names in CP1252",
             charset="cp1252")
    data = python_tar([("Größe-pax.csv", content)])
    out.good("name-pax.tar", data, {"Größe-pax.csv": content},
             "PAX names are UTF-8 whatever the profile says", charset="cp1252")
    data = python_tar([("表-tar.csv", content)], form=tarfile.GNU_FORMAT, encoding="cp932")
    out.good("name-cp932.tar", data, {"表-tar.csv": content}, "GNU tar names in CP932", charset="cp932")


def in_streams(out):
    body = {"pieces-a.csv": lines("pieces", 500), "pieces-b.csv": lines("pieces-b", 500)}
    tar = python_tar(body.items())
    cut = len(tar) // 3
    for ending, pack in [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)]:
        name = f"pieces-{ending}"
        renamed = {f"{name}-{n}.csv": content for n, content in enumerate(body.values())}
        tar = python_tar(renamed.items())
        out.good(f"{name}.tar.{ending}", pack(tar[:cut]) + pack(tar[cut:]), renamed,
                 f"a tar in two {ending} streams, cut inside a member, as parallel packers do")


def make(out):
    by_gnu_tar(out)
    by_bsdtar(out)
    by_python(out)
    in_streams(out)
