"""Makes the corpus of archives, good and hostile, with the verdict that each must get.

    .venv/bin/python functions/lib/archive/tests/corpus/make.py OUTDIR

Every archive comes from a maker that partners use, or is a copy of one damaged by hand, or is put
together byte by byte as attackers do. The verdict stands beside the maker, written by a person; the
code under test has no part in it. OUTDIR gets the files and `verdicts.json`, a list of rows:

    file, password, charset   the archive and what a profile says about it
    verdict                   "good" or "rejected"
    code, names_entry         of a rejection: its code, and what the message must show of the entry
    members                   of a good one: name, bytes, sha256 and records (lines) of each; a file
                              that is no archive is its own member
    before                    of a rejected one: members that are whole and may be met before what is
                              wrong; nothing else may have been passed on
    limits                    only where the verdict needs other limits than a profile's defaults, or
                              (when empty) where the member is no text and so has no lines to count
    why                       what it is and who made it
"""

import sys

sys.dont_write_bytecode = True  # The source tree stays as it is.

import shelf  # noqa: E402
import streams  # noqa: E402
import streams_bad  # noqa: E402
import tars  # noqa: E402
import tars_bad  # noqa: E402
import zips  # noqa: E402
import zips_bad  # noqa: E402
import zips_forged  # noqa: E402


def main():
    out = shelf.Shelf(sys.argv[1])
    for module in (zips, zips_bad, zips_forged, tars, tars_bad, streams, streams_bad):
        module.make(out)
    out.close()


if __name__ == "__main__":
    main()
