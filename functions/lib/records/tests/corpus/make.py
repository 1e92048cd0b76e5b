#!/usr/bin/env python3
"""Files of records as real programs write them, each with the verdict that it deserves.

    .venv/bin/python functions/lib/records/tests/corpus/make.py OUTDIR

writes the files and OUTDIR/verdicts.json, a list of rows: `file`, `records` (that section of a
profile), `verdict` (`good` with a `count`, or `rejected` with a `code`) and `why`. Each verdict is
written by hand beside its maker; nothing here counts.
"""

import csv
import io
import json
import pathlib
import subprocess
import sys

import fastavro
import pyarrow
import pyarrow.csv
import pyarrow.parquet

OUT = pathlib.Path(sys.argv[1])
ROWS = []


def good(file, count, why, made, model="csv", **records):
    """A file that is counted. `made` is text, bytes, or a command's arguments."""
    write(file, made)
    rules = {"model": model, **records}
    ROWS.append({"file": file, "records": rules, "verdict": "good", "count": count, "why": why})


def rejected(file, code, why, made, model="csv", **records):
    """A file that is refused."""
    write(file, made)
    rules = {"model": model, **records}
    ROWS.append({"file": file, "records": rules, "verdict": "rejected", "code": code, "why": why})


def write(file, made):
    bytes_ = made.encode() if isinstance(made, str) else made
    (OUT / file).write_bytes(bytes_)


def run(*command, stdin=b""):
    """What a program prints; its locale is C.UTF-8."""
    stdin = stdin.encode() if isinstance(stdin, str) else stdin
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    return subprocess.run(command, input=stdin, stdout=subprocess.PIPE, check=True, env=env).stdout


def shell(script, stdin=b""):
    return run("bash", "-euo", "pipefail", "-c", script, stdin=stdin)


def iconv(text, charset):
    return run("iconv", "-f", "UTF-8", "-t", charset, stdin=text)


def written(rows, **dialect):
    """What Python's csv writes."""
    out = io.StringIO(newline="")
    csv.writer(out, **dialect).writerows(rows)
    return out.getvalue()


PLAIN = [["id", "city"], ["1", "Berlin"], ["2", "Rome"], ["3", "Oslo"]]
HARD = [
    ["id", "text"],
    ["1", "two\nlines"],
    ["2", "carriage\r\nreturn"],
    ["3", 'said "no"'],
    ["4", "a, b; c|d\te"],
    ["5", ""],
    ["6", "ends with quote\""],
    ["7", '"\n"'],
    ["8", "it's"],
]


def python_csv():
    good("py-excel.csv", 3, "the default dialect, CRLF", written(PLAIN), header_records=1)
    good("py-excel-hard.csv", 8, "line ends and quotes in fields", written(HARD), header_records=1)
    tab = written(HARD, dialect="excel-tab")
    good("py-excel-tab.tsv", 9, "tabs between fields", tab, delimiter="\t")
    good("py-unix.csv", 9, "everything quoted, LF", written(HARD, dialect="unix"))
    quoting = {"all": csv.QUOTE_ALL, "minimal": csv.QUOTE_MINIMAL, "nonnumeric": csv.QUOTE_NONNUMERIC}
    for name, style in quoting.items():
        for end, line in [("lf", "\n"), ("crlf", "\r\n"), ("cr", "\r")]:
            if (name, end) == ("minimal", "cr"):
                continue
            text = written(HARD, quoting=style, lineterminator=line)
            good(f"py-{name}-{end}.csv", 8, f"quoting {name}, {end} line ends", text, header_records=1)
    text = written(HARD, lineterminator="\r")
    good("py-minimal-cr.csv", 9, "one LF is left without quotes, so it ends a record", text, header_records=1)
    for name, delimiter in [("semicolon", ";"), ("pipe", "|"), ("caret", "^"), ("space", " ")]:
        text = written(HARD, delimiter=delimiter)
        good(f"py-{name}.csv", 9, f"{name} between fields", text, delimiter=delimiter)
    text = written(HARD, quotechar="'")
    good("py-apostrophe.csv", 9, "apostrophes as quotes", text, quote="'")
    text = written(HARD, escapechar="\\", doublequote=False)
    good("py-escaped-quotes.csv", 9, "quotes escaped, not doubled", text, escape="\\")
    text = written(HARD, escapechar="\\", quoting=csv.QUOTE_NONE)
    good("py-escaped-all.csv", 9, "no quotes, line ends escaped", text, escape="\\")
    text = written([["a\\", "b"], ["c", "\\"]], escapechar="\\", doublequote=False)
    good("py-escaped-escape.csv", 2, "escapes of the escape", text, escape="\\", quote='"')
    text = written([["a"], [], ["b"], [], []])
    good("py-empty-rows.csv", 2, "rows without fields are blank lines", text)
    text = written([[""], ["", ""], ["x"]])
    good("py-empty-fields.csv", 3, "an empty field is quoted and counts", text)
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, ["id", "note"], restval="-")
    writer.writeheader()
    writer.writerows({"id": n, "note": "line\n" * n} for n in range(50))
    good("py-dictwriter.csv", 50, "notes of up to 49 lines", out.getvalue(), header_records=1)
    text = written([[n, "x" * n, 'q"' * (n % 5)] for n in range(3000)])
    good("py-growing.csv", 3000, "fields up to 3000 bytes long", text)
    text = written([[n, "a\n\n\nb", ",,,"] for n in range(20000)], quoting=csv.QUOTE_ALL)
    good("py-blank-lines-quoted.csv", 20000, "blank lines inside quotes", text)
    good("py-one-record.csv", 1, "no line end at all", written(PLAIN[:1], lineterminator=""))
    good("py-header-only.csv", 0, "a header and nothing else", written(PLAIN[:1]), header_records=1)


def spreadsheets():
    rows = "id;name\r\n1;Müller\r\n2;Ærø\r\n"
    good("excel-utf8-bom.csv", 2, "a byte order mark is no content", b"\xef\xbb\xbf" + rows.encode(), delimiter=";", header_records=1)
    quoted = b'\xef\xbb\xbf"id"\r\n"a\r\nb"\r\n'
    good("bom-then-quote.csv", 2, "a quote right behind the mark opens", quoted)
    good("bom-only.csv", 0, "a byte order mark alone", b"\xef\xbb\xbf")
    good("bom-blank.csv", 1, "a blank line behind the mark", b"\xef\xbb\xbf\r\nx\r\n")
    sep = "sep=;\r\nid;name\r\n1;x\r\n"
    good("excel-sep.csv", 1, "Excel's sep= line and a header", sep, delimiter=";", header_records=2)
    mac = "id,name\r1,x\r2,y\r"
    good("excel-mac.csv", 2, "a lone CR ends a line", mac, header_records=1)
    table = pyarrow.table({"id": [1, 2, 3], "text": ["a\nb", 'c"d', None]})
    out = io.BytesIO()
    pyarrow.csv.write_csv(table, out)
    good("arrow.csv", 3, "as Arrow writes it", out.getvalue(), header_records=1)
    good("quote-in-field.csv", 3, "inches: a quote inside a field is a letter", '19" rack,1\n5\' 9",2\n7",3\n')
    good("quote-behind-blank.csv", 2, "a quote behind a blank is a letter", '1, "a\n2, b"\n')
    good("text-behind-quote.csv", 2, "text behind a closing quote is letters", '"a"b"\n"c"d,e\n')
    good("quotes-are-letters.csv", 3, "a profile without quotes", '"a\nb"\n"\n', quote="")
    good("triple-quotes.csv", 2, "doubled quotes at both ends", '"""a""\n""b"""\n""""\n')
    good("quotes-adjacent.csv", 2, "empty quoted fields", '"","",""\n"",""\n')
    rejected("open-quote.csv", "records.unterminated_quote", "the last quote is never closed", 'a\n"b\nc\n')
    whole = written(HARD * 40, quoting=csv.QUOTE_ALL)
    rejected("cut-in-quotes.csv", "records.unterminated_quote", "the transfer broke off in a field", whole[:-4])
    rejected("open-apostrophe.csv", "records.unterminated_quote", "an apostrophe opens where it is the quote", "1,'tis\n2,x\n", quote="'")
    rejected("wrong-escape.csv", "records.unterminated_quote", "the last quote is escaped", '"a\\"\n', escape="\\")
    good("escape-unset.csv", 1, "the same bytes where no escape is set", '"a\\"\n')


def gnu():
    good("seq.txt", 1000, "seq", run("seq", "1000"), "lines")
    good("seq-no-last.txt", 1000, "no line end behind the last", run("seq", "-s", "\n", "1000")[:-1], "lines")
    good("seq-crlf.txt", 500, "LF made CRLF", shell("seq 500 | sed 's/$/\\r/'"), "lines")
    good("seq-cr.txt", 500, "LF made CR", shell("seq 500 | tr '\\n' '\\r'"), "lines")
    good("mixed-ends.txt", 4, "CR, LF, CRLF and none in one file", shell("printf 'a\\rb\\nc\\r\\nd'"), "lines")
    good("lf-cr.txt", 3, "LF CR is two ends", shell("printf 'a\\n\\rb'"), "lines")
    good("blank-lines.txt", 6, "blank lines are lines", shell("printf '\\n\\na\\n\\r\\n\\r\\n\\n'"), "lines")
    good("blank-lines.csv", 1, "but no CSV records", shell("printf '\\n\\na\\n\\r\\n\\r\\n\\n'"))
    good("cr-cr-lf.txt", 4, "a CR too many makes a line of its own", shell("printf 'a\\r\\r\\nb\\r\\r\\n'"), "lines")
    good("empty.csv", 0, "no bytes", b"")
    good("empty.txt", 0, "no bytes", b"", "lines")
    good("empty.jsonl", 0, "no bytes", b"", "jsonl")
    good("empty.fixed", 0, "no bytes", b"", "fixed", record_bytes=80)
    good("newline.txt", 1, "one blank line", b"\n", "lines")
    good("newline.csv", 0, "one blank line", b"\n")
    good("blank.csv", 1, "a line of one blank is a record", b" \n")
    awk = 'BEGIN { OFS="|"; for (i = 1; i <= 5000; i++) print i, i * i, "name" i }'
    good("awk.psv", 5000, "pipes, no quotes", run("awk", awk), delimiter="|")
    awk = 'BEGIN { ORS="\\r\\n"; for (i = 1; i <= 999; i++) printf "\\"%d\\",\\"a\\nb\\"%s", i, ORS }'
    good("awk-quoted.csv", 999, "quoted line ends by hand", run("awk", awk))
    good("long-line.txt", 2, "a line of 3 MiB", shell("head -c 3145728 /dev/zero | tr '\\0' x; echo; echo y"), "lines")
    good("paste.tsv", 300, "paste", shell("paste <(seq 300) <(seq 301 600)"), delimiter="\t")
    good("split-quote.txt", 3, "quotes mean nothing to lines", shell("printf '\"a\\nb\"\\nc\\n'"), "lines")
    good("dos-eof.txt", 3, "a Ctrl-Z of DOS is a line's letter", shell("printf 'a\\r\\nb\\r\\n\\032'"), "lines")
    good("form-feed.txt", 2, "form feeds end nothing", shell("printf 'a\\fb\\nc\\v\\n'"), "lines")
    good("header-trailer.txt", 10, "one header, one trailer", shell("echo H; seq 10; echo T"), "lines", header_records=1, trailer_records=1)
    good("more-headers.txt", 0, "more headers than lines", run("seq", "2"), "lines", header_records=5)


def charsets():
    german = "id;straße\n1;Größe\n2;Öl\n"
    good("latin1.csv", 2, "ISO 8859-1", iconv(german, "ISO-8859-1"), header_records=1)
    good("cp1252.csv", 2, "the Euro of Windows", iconv("preis\n5 €\n„7“\n", "CP1252"), header_records=1)
    # The second byte of ソ and 表 in this charset is a backslash, that of ポ a pipe's neighbour.
    japanese = "番号,名前,表示\n1,ソニー,予定\n2,ポスト,能\n"
    good("cp932.csv", 2, "Shift JIS, some second bytes look like ASCII", iconv(japanese, "CP932"), header_records=1)
    good("euc-jp.csv", 2, "EUC-JP", iconv(japanese, "EUC-JP"), header_records=1)
    good("utf8-japanese.csv", 2, "UTF-8", japanese, header_records=1)
    good("gb18030.csv", 3, "GB 18030", iconv("编号,姓名\n1,李\n2,王\n", "GB18030"))
    good("koi8-r.txt", 2, "KOI8-R", iconv("Привет\nмир\n", "KOI8-R"), "lines")
    good("utf8-separators.txt", 1, "U+2028 and U+0085 end no line", "a\u2028b\u0085c\n", "lines")
    good("ebcdic.fixed", 3, "EBCDIC records have a length, no ends", iconv("A" * 80 + "B" * 80 + "C" * 80, "IBM037"), "fixed", record_bytes=80)
    texts = {
        "english": "id,name\n1,Anna\n2,Bob\n",
        "german": german,
        "japanese": japanese,
        "russian": "номер,имя\n1,Анна\n2,Борис\n",
        "hebrew": "מספר,שם\n1,אנה\n",
    }
    for name, text in texts.items():
        for charset in ["UTF-16LE", "UTF-16BE", "UTF-32LE", "UTF-32BE"]:
            why = f"{charset} without a byte order mark"
            rejected(f"{name}-{charset.lower()}.csv", "records.utf16", why, iconv(text, charset))
    why = "its byte order mark says UTF-16"
    rejected("utf16-mark.csv", "records.utf16", why, iconv(japanese, "UTF-16"))
    rejected("utf16-mark.txt", "records.utf16", why, b"\xfe\xff" + iconv(german, "UTF-16BE"), "lines")
    rejected("utf32-mark.txt", "records.utf16", "its byte order mark says UTF-32", iconv(german, "UTF-32"), "lines")
    rejected("utf16.jsonl", "records.utf16", "JSON of PowerShell", iconv('{"a":1}\r\n{"a":2}\r\n', "UTF-16LE"), "jsonl")
    rejected("utf16-open-quote.csv", "records.utf16", "the charset is told before the quote", iconv('id\n"x\n', "UTF-16LE"))
    good("utf16.fixed", 2, "fixed records are bytes of any charset", iconv("abcdefgh", "UTF-16LE"), "fixed", record_bytes=8)
    good("nul-strings.txt", 2, "strings of C, NULs and all, are letters", b"name\0\0\0\0,12\0\0\nxy\0\0\0\0\0\0,7\0\0\0\n", "lines")
    good("stray-nul.csv", 3, "a stray NUL is a letter", b"id,name\n1,An\0na\n2,Bob\n")
    good("find-print0.txt", 1, "NULs of find -print0 end no line", shell("printf '%s\\0' alpha beta gamma"), "lines")


def json_lines():
    rows = [{"id": n, "text": "zwei\nZeilen", "more": {"list": [1, 2, 3]}} for n in range(700)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    good("py.jsonl", 700, "line ends in strings are escaped", text, "jsonl")
    good("py-crlf.jsonl", 700, "CRLF", text.replace("\n", "\r\n"), "jsonl")
    good("py-no-last.jsonl", 700, "no line end behind the last", text[:-1], "jsonl")
    spaced = text.replace("\n", "\n\n \t\r\n")
    good("py-spaced.jsonl", 700, "lines of blanks are no records", spaced, "jsonl")
    good("py-unicode.jsonl", 2, "UTF-8 as it is", '{"a":"ü\u2028"}\n{"a":"日本"}\n', "jsonl")
    good("py-scalars.jsonl", 4, "any value", '1\n"a"\nnull\n[]\n', "jsonl")
    good("py-bom.jsonl", 2, "behind a byte order mark", b"\xef\xbb\xbf{}\n{}\n", "jsonl")
    good("py-cr.jsonl", 1, "a CR is a blank of JSON and ends nothing", '{"a":1,\r"b":2}\r\n', "jsonl")
    good("py-header.jsonl", 2, "a first line that describes the rest", '{"schema":1}\n{}\n{}\n', "jsonl", header_records=1)


def fixed():
    rows = "".join(f"{n:06d}{'name' + str(n):<14}" for n in range(250))
    good("mainframe.fixed", 250, "20 bytes, no line ends", rows, "fixed", record_bytes=20)
    lines = "".join(f"{n:06d}{'x':<12}\r\n" for n in range(250))
    good("lines.fixed", 248, "20 bytes with CRLF, header and trailer", lines, "fixed", record_bytes=20, header_records=1, trailer_records=1)
    rejected("cut.fixed", "records.partial_record", "the last record is cut", rows[:-1], "fixed", record_bytes=20)
    rejected("long.fixed", "records.partial_record", "a line end behind the last record", rows + "\n", "fixed", record_bytes=20)
    packed = bytes(range(256)) * 10
    good("packed.fixed", 160, "packed numbers, any byte", packed, "fixed", record_bytes=16)


def containers():
    table = pyarrow.table({"id": list(range(12345)), "text": ["x\ny"] * 12345})
    for codec in ["none", "snappy", "gzip", "zstd"]:
        out = io.BytesIO()
        pyarrow.parquet.write_table(table, out, row_group_size=1000, compression=codec)
        good(f"arrow-{codec}.parquet", 12345, f"13 row groups, {codec}", out.getvalue(), "parquet")
    whole = out.getvalue()
    out = io.BytesIO()
    pyarrow.parquet.write_table(table.slice(0, 0), out)
    good("arrow-empty.parquet", 0, "a schema and no row", out.getvalue(), "parquet")
    nested = pyarrow.table({"a": [[1, 2], [], None], "b": [{"x": 1}, {"x": None}, None]})
    out = io.BytesIO()
    pyarrow.parquet.write_table(nested, out, version="1.0", data_page_version="2.0")
    good("arrow-nested.parquet", 3, "lists and structs are one row each", out.getvalue(), "parquet")
    rejected("cut.parquet", "records.corrupt", "the footer is missing", whole[:-100], "parquet")
    rejected("text.parquet", "records.corrupt", "CSV under a wrong name", "id\n1\n", "parquet")
    rejected("empty.parquet", "records.corrupt", "no bytes are no Parquet file", b"", "parquet")
    schema = {"type": "record", "name": "row", "fields": [{"name": "id", "type": "long"}]}
    rows = [{"id": n} for n in range(9999)]
    for codec in ["null", "deflate", "bzip2"]:
        out = io.BytesIO()
        fastavro.writer(out, schema, rows, codec=codec, sync_interval=2000)
        good(f"fastavro-{codec}.avro", 9999, f"many blocks, {codec}", out.getvalue(), "avro")
    whole = out.getvalue()
    out = io.BytesIO()
    fastavro.writer(out, schema, [])
    good("fastavro-empty.avro", 0, "a header and no block", out.getvalue(), "avro")
    rejected("cut.avro", "records.corrupt", "the last block is cut", whole[:-20], "avro")
    marker = whole[:-1] + bytes([whole[-1] ^ 1])
    rejected("marker.avro", "records.corrupt", "the last block has another marker", marker, "avro")
    rejected("text.avro", "records.corrupt", "CSV under a wrong name", "id\n1\n", "avro")


def declared():
    trailer = {"place": "trailer", "pattern": r"^TRL\|0*(\d+)\|"}
    body = shell("echo 'HDR|20240517'; seq 40 | sed 's/$/|x/'; echo 'TRL|000040|END'")
    rules = {"model": "lines", "header_records": 1, "trailer_records": 1, "declared": trailer}
    good("declared.txt", 40, "the trailer tells the truth", body, **rules)
    crlf = body.replace(b"\n", b"\r\n") + b"\r\n\x1a"
    rules_blank = {**rules, "trailer_records": 3}
    good("declared-crlf.txt", 40, "blanks and Ctrl-Z behind the trailer", crlf, **rules_blank)
    good("declared-no-last.txt", 40, "no line end behind the trailer", body[:-1], **rules)
    good("declared-zero.txt", 0, "nothing declared, nothing there", "HDR|x\nTRL|0|\n", **rules)
    code = "records.declared_mismatch"
    rejected("declared-39.txt", code, "a record too many", body.replace(b"000040", b"000039"), **rules)
    rejected("declared-lost.txt", code, "a line is lost", body.replace(b"\n17|x", b""), **rules)
    code = "records.declared_missing"
    rejected("declared-none.txt", code, "the trailer is missing", body[:-15], **rules)
    rejected("declared-word.txt", code, "no number", body.replace(b"000040", b"forty"), **rules)
    rejected("declared-empty.txt", code, "no bytes declare nothing", b"", **rules)
    header = {"place": "header", "pattern": r"count=(\d+)"}
    text = "#count=2\n" + written([["1", "a\nb"], ["2", "c"]])
    rules = {"header_records": 1, "declared": header}
    good("declared-header.csv", 2, "records, not lines, are declared", text, **rules)
    bom = b"\xef\xbb\xbf" + text.encode()
    good("declared-bom.csv", 2, "a header behind a byte order mark", bom, **rules)
    code = "records.declared_mismatch"
    rejected("declared-lines.csv", code, "lines were declared", text.replace("=2", "=3"), **rules)
    first = '{"records":3}\n' + '{"a":1}\n' * 3
    pattern = {"place": "header", "pattern": r'"records":(\d+)'}
    good("declared.jsonl", 3, "declared in JSON", first, "jsonl", header_records=1, declared=pattern)


def other():
    good("report.pdf", 4, "what is no text is counted as it stands", b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n%%EOF\n", "lines")
    good("any.bin", 257, "every byte value; LF and CR among them", bytes(range(256)) * 128, "lines")
    good("uncounted.bin", None, "the profile asks for no count", bytes(range(256)), "none")
    good("csv-as-lines.csv", 4, "records of two lines counted as lines", '"a\nb"\n"c\nd"\n', "lines")


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    for make in [python_csv, spreadsheets, gnu, charsets, json_lines, fixed, containers, declared, other]:
        make()
    assert len({row["file"] for row in ROWS}) == len(ROWS), "two files of one name"
    text = json.dumps(ROWS, indent=1, ensure_ascii=False)
    (OUT / "verdicts.json").write_text(text, encoding="utf-8")
