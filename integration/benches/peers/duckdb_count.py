"""Counts the data records of a CSV file the way an analyst does at a desk: DuckDB, one query."""

import argparse
import sys

import duckdb

# Said rather than sniffed: the first records need not show a quoted line break, and DuckDB takes
# lines that begin with "#" for comments if it finds some.
QUERY = """
    select count(*) from read_csv(
        ?, header = true, all_varchar = true,
        delim = ',', quote = '"', escape = '"', comment = '', skip = 0
    )
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    arguments = parser.parse_args()
    [(records,)] = duckdb.execute(QUERY, [arguments.file]).fetchall()
    print(records)


if __name__ == "__main__":
    try:
        main()
    except duckdb.Error as error:
        sys.exit(f"Nothing was counted: {str(error).splitlines()[0]}")
