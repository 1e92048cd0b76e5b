"""Refuses programs that the image they are made for could not start."""

import re

from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile

# What every image with that C library has.
LIBRARIES = re.compile(r"(lib(c|m|dl|rt|pthread|gcc_s)\.so\.\d|ld-linux-.*\.so\.\d)")


class Refused(Exception):
    """A program that must not be deployed."""


def check(name, path, machine, newest_glibc):
    """Refuses a program that needs more than Lambda's image has; returns the glibc that it needs."""
    with path.open("rb") as file:
        elf = ELFFile(file)
        check_machine(name, elf, machine)
        foreign = [library for library in libraries(elf) if not LIBRARIES.fullmatch(library)]
        if foreign:
            raise Refused(f"{name} needs {', '.join(foreign)}, which the image does not have")
        needs = {symbol: version for symbol, version in needed(elf) if version}
    newest = max(needs.values(), key=numbers, default="0")
    if numbers(newest) > numbers(newest_glibc):
        symbols = sorted(s for s, v in needs.items() if numbers(v) > numbers(newest_glibc))
        raise Refused(
            f"{name} needs glibc {newest}, and the image has {newest_glibc}: {', '.join(symbols)}"
        )
    return newest


def check_static(name, path, machine):
    """Refuses a program that needs anything of its image."""
    with path.open("rb") as file:
        elf = ELFFile(file)
        check_machine(name, elf, machine)
        wanted = libraries(elf)
        loader = any(segment["p_type"] == "PT_INTERP" for segment in elf.iter_segments())
    if wanted or loader:
        raise Refused(f"{name} is not static: it needs {', '.join(wanted) or 'a loader'}")


def check_machine(name, elf, machine):
    """Refuses a program for another processor."""
    if elf["e_machine"] != machine:
        raise Refused(f"{name} is made for {elf['e_machine']}, not {machine}")


def libraries(elf):
    """The shared libraries that are loaded with it."""
    dynamic = [section for section in elf.iter_sections() if isinstance(section, DynamicSection)]
    return [tag.needed for section in dynamic for tag in section.iter_tags("DT_NEEDED")]


def needed(elf):
    """Symbols of glibc that it takes, each with the version that brought it."""
    versions = elf.get_section_by_name(".gnu.version_r")
    indices = elf.get_section_by_name(".gnu.version")
    symbols = elf.get_section_by_name(".dynsym")
    if versions is None:
        return
    by_index = {
        need["vna_other"]: need.name for _, needs in versions.iter_versions() for need in needs
    }
    for number, symbol in enumerate(symbols.iter_symbols()):
        version = by_index.get(indices.get_symbol(number)["ndx"], "")
        if version.startswith("GLIBC_"):
            yield symbol.name, version.removeprefix("GLIBC_")


def numbers(version):
    """A version that can be compared; one without numbers, such as PRIVATE, is newer than all."""
    parts = version.split(".")
    return [int(part) for part in parts] if all(p.isdecimal() for p in parts) else [1 << 30]
