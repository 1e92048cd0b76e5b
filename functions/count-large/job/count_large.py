"""The Spark job that counts the large members of a run.

Spark only spreads the work: `plan` of the shipped program splits the members into byte ranges,
`count` runs on the executors, a range to a task, and `combine` adds up and writes the counted
items. No counting rule is here. The program reads and writes the bucket by itself, with the
credentials that the container offers it.

    spark-submit --archives count-large.tar.gz#counter count_large.py \\
        --bucket B --partner P --run R [--splits N]

Needs Python 3.9 and nothing but PySpark. A task that is repeated, or a job, writes the same again.
"""

import argparse
import os
import subprocess
import sys

from pyspark import SparkFiles
from pyspark.sql import SparkSession

# The folder that `spark.archives` unpacks the program's archive into, and the program in it.
FOLDER = "counter"
PROGRAM = "count-large"
# How much of what the program says is told when it fails.
TOLD_CHARACTERS = 2000


def program():
    """Where the program is, here: Spark unpacks archives on the driver and on every executor."""
    folders = [SparkFiles.getRootDirectory(), os.getcwd()]
    for folder in folders:
        path = os.path.join(folder, FOLDER, PROGRAM)
        if os.path.exists(path):
            return path
    raise FileNotFoundError(
        "%s is not in %s; give the job spark.archives=s3://.../count-large.tar.gz#%s"
        % (os.path.join(FOLDER, PROGRAM), " or ".join(folders), FOLDER)
    )


def call(arguments, lines=()):
    """Runs one step: a JSON document per line goes in and comes out."""
    text = "".join(line + "\n" for line in lines)
    ended = subprocess.run(
        [program()] + arguments,
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    sys.stderr.write(ended.stderr)
    if ended.returncode != 0:
        told = ended.stderr.strip()[-TOLD_CHARACTERS:] or "it said nothing"
        raise RuntimeError(
            "%s %s ended with %d: %s" % (PROGRAM, arguments[2], ended.returncode, told)
        )
    return ended.stdout.splitlines()


def counting(bucket):
    """What a task does with its ranges."""

    def count(splits):
        splits = list(splits)
        return call(["--bucket", bucket, "count"], splits) if splits else []

    return count


def main():
    parser = argparse.ArgumentParser(description="Counts the records of a run's large members.")
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--partner", required=True)
    parser.add_argument("--run", required=True)
    parser.add_argument("--splits", type=int, default=8, help="about how many ranges to make")
    given = parser.parse_args()

    spark = SparkSession.builder.appName("count-large %s %s" % (given.partner, given.run)).getOrCreate()
    run = ["--partner", given.partner, "--run", given.run]
    splits = call(["--bucket", given.bucket, "plan"] + run + ["--splits", str(given.splits)])
    if splits:
        tasks = spark.sparkContext.parallelize(splits, len(splits))
        parts = tasks.mapPartitions(counting(given.bucket)).collect()
        call(["--bucket", given.bucket, "combine"] + run, parts)
    print("count-large: %d ranges" % len(splits))
    spark.stop()


if __name__ == "__main__":
    main()
