#!/usr/bin/env python3
"""The names that leave the library are those of the headers, and it needs no library it does not name.

    symbols.py SHARED ARCHIVE SYM_FILE JSON CRYPTO GZIP HEADER...        JSON and so on are `true` or `false`

1. exported by libstream.so == listed in libstream.sym == declared LS_API in the public headers;
2. the archive defines no other global name than those, so it cannot collide with the names of a program;
3. NEEDED holds nothing but libc (with its libm and loader), libzstd and, with JSON, libyajl, with encryption,
   libcrypto, with gzip, libz.
"""

import re
import subprocess
import sys


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def declared(headers):
    """Names of the functions that the headers declare LS_API."""
    names = set()
    for header in headers:
        with open(header, encoding="utf-8") as file:
            text = re.sub(r"/\*.*?\*/", " ", file.read(), flags=re.S)
        text = re.sub(r"^[ \t]*#.*$", "", text, flags=re.M)
        for declaration in re.findall(r"\bLS_API\b([^;]*);", text):
            names.add(re.match(r"[^(]*?(\w+)\s*\(", declaration).group(1))
    return names


def listed(sym_file):
    """Names in the version script, from every block's `global:` part."""
    with open(sym_file, encoding="utf-8") as file:
        text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
    names = []
    for part in re.findall(r"global:(.*?)(?:local:|\})", text, flags=re.S):
        names += [name.strip() for name in part.split(";") if name.strip()]
    return names


def defined(*command):
    """Global names that nm shows as defined, without the version nodes (type A)."""
    names = set()
    for line in run(*command).splitlines():
        fields = line.split()
        if len(fields) >= 2 and re.fullmatch(r"[A-Z]", fields[1]) and fields[1] not in "AU":
            names.add(fields[0].split("@")[0])
    return names


def tell(what, names):
    for name in sorted(names):
        print("%s: %s" % (what, name))
    return bool(names)


def main():
    shared, archive, sym_file, json, crypto, gzip = sys.argv[1:7]
    headers = declared(sys.argv[7:])
    sym = listed(sym_file)
    exported = defined("nm", "-P", "-D", "--defined-only", shared)
    in_archive = defined("nm", "-P", "-g", "--defined-only", archive)

    bad = not headers
    bad |= tell("listed twice in libstream.sym", {name for name in sym if sym.count(name) > 1})
    bad |= tell("a pattern in libstream.sym", {name for name in sym if not re.fullmatch(r"\w+", name)})
    bad |= tell("in the headers, not in libstream.sym", headers - set(sym))
    bad |= tell("in libstream.sym, not in the headers", set(sym) - headers)
    bad |= tell("in the headers, not exported", headers - exported)
    bad |= tell("exported, not in the headers", exported - headers)
    bad |= tell("in the headers, not in the archive", headers - in_archive)
    bad |= tell("defined by the archive, not ls_", {name for name in in_archive if not name.startswith("ls_")})
    bad |= tell("defined by the archive, not in the headers", {n for n in in_archive - headers if n.startswith("ls_")})

    allowed = r"libc\.so\.6|libm\.so\.6|ld-linux.*|libzstd\.so\.1"
    if json == "true":
        allowed += r"|libyajl\.so\.2"
    if crypto == "true":
        allowed += r"|libcrypto\.so\.3"
    if gzip == "true":
        allowed += r"|libz\.so\.1"
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", run("readelf", "-d", shared)))
    bad |= tell("needs", {name for name in needed if not re.fullmatch(allowed, name)})
    print("%d names exported, needs %s" % (len(exported), " ".join(sorted(needed))))
    return bad


if __name__ == "__main__":
    sys.exit(main())
