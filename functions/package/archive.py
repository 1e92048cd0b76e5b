"""Packs programs so that the same program is the same file: no time, no user, one order."""

import gzip
import stat
import tarfile
import zipfile

# The oldest time that a zip can hold.
EPOCH = (1980, 1, 1, 0, 0, 0)
MODE = 0o755


def zip_bootstrap(program, path):
    """The package of a provided.* function: an executable file `bootstrap` at the root."""
    entry = zipfile.ZipInfo("bootstrap", EPOCH)
    entry.create_system = 3  # Unix: the mode is read
    entry.external_attr = (stat.S_IFREG | MODE) << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "w") as pack:
        pack.writestr(entry, program.read_bytes(), compresslevel=9)
    return path


def tar_program(program, name, path):
    """An archive with one executable file of that name."""
    with path.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as pack:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = program.stat().st_size, MODE
            with program.open("rb") as content:
                pack.addfile(entry, content)
    return path
