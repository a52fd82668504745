#!/usr/bin/env python3
"""Arrows between the rooms go one way: walks every #include of lib/, examples/ and bench/ and fails on one that the
table below does not allow.

    arrows.py TREE          check a source tree; exit 1 and one line per forbidden include
    arrows.py --self-test   plant forbidden and allowed includes in a small tree: exactly the former must be told

The table is the contract: a new arrow is a decision about the design and is made here, with its reason.
"""

import os
import re
import sys
import tempfile

# Which rooms a room may include, besides itself. Everything may include the public status.h and types.h.
ROOMS = {
    "base": [],
    "metrics": ["base"],
    "stream": ["base"],
    "storage": ["base", "metrics"],
    "engine": ["base", "stream"],
    "engine/local": ["engine", "stream", "storage", "metrics", "base"],
    "engine/kafka": ["engine", "stream", "metrics", "base"],
    "produce": ["engine", "stream", "metrics", "base"],
    "consume": ["engine", "stream", "metrics", "base"],
    "deliver": ["consume", "metrics", "base"],
    "api": ["base", "metrics", "stream", "storage", "engine", "engine/local", "engine/kafka", "produce", "consume",
            "deliver"],
    # Users like any other; the tools of `base` that nobody should write twice are named one by one in FILES.
    "gateway": [],
    "server": [],
    "cli": [],
    "python": [],
    "examples": [],
    "bench": [],
}

# Single headers of rooms that are closed otherwise.
FILES = {
    "gateway": ["base/json.h", "base/sigv4.h"],
    "server": ["gateway/gateway.h"],
    "cli": ["base/base64.h", "base/json.h", "base/utf8.h", "server/server.h"],
    # What no public call does alone: placing keys, in each width of lanes; the cipher by itself; packing and unpacking.
    "bench": ["base/crypto.h", "base/hash.h", "base/md5.h", "stream/stream.h"],
}

# Public headers besides status.h and types.h. The contract of the engines speaks in public value types (positions,
# durability, a shard's description), and storage keeps durability in its manifest: constants and plain structs, never
# a call. What a stream is needs none of them.
PUBLIC_EVERYWHERE = {"status.h", "types.h"}
PUBLIC = {
    "metrics": {"metrics.h"},
    "storage": {"store.h", "producer.h", "iterator.h", "unstable/inspect.h"},
    "engine": {"store.h", "stream.h", "producer.h", "iterator.h", "consumer.h"},
    "engine/local": {"store.h", "stream.h", "producer.h", "iterator.h", "unstable/inspect.h"},
    "engine/kafka": {"store.h", "stream.h", "producer.h", "iterator.h"},
    "produce": {"store.h", "stream.h", "producer.h", "async_producer.h"},
    "consume": {"store.h", "stream.h", "iterator.h", "consumer.h", "lease.h", "mapping.h", "producer.h",
                "window.h", "alert.h"},
    "deliver": {"store.h", "stream.h", "iterator.h", "delivery.h"},
}
PUBLIC_ALL = {"api", "gateway", "server", "cli", "python", "examples", "bench"}

# Third parties and the system's own I/O, each with the only rooms that may name it: all else goes through base, so
# that a test can fail any of it. Rooms outside the core (PUBLIC_ALL but api) are ordinary programs.
ONLY_IN = [
    (r"(xxhash|zstd|zstd_errors|zlib)\.h|yajl/.*|openssl/.*", {"base"}),
    (r"librdkafka/.*", {"engine/kafka"}),
    (r"curl/.*", {"deliver", "examples"}),
    (r"uv\.h|llhttp.*|nghttp2/.*", {"server"}),
    (r"cbor\.h", {"gateway"}),
]
SYSTEM_IO = re.compile(
    r"(fcntl|unistd|dirent|pthread|semaphore|signal|time|threads|poll|malloc)\.h"
    r"|sys/(mman|stat|statvfs|vfs|uio|file|socket|syscall|time|random|eventfd|epoll|wait|ioctl)\.h|linux/.*")
CORE = {"metrics", "stream", "storage", "engine", "engine/local", "engine/kafka", "produce", "consume", "deliver",
        "api"}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)
COMMENT = re.compile(r"/\*.*?\*/", re.S)


def room_of(path):
    """The room a path of the tree (or an include below lib/) lies in, or None."""
    parts = path.split("/")
    for depth in (2, 1):
        if len(parts) > depth and "/".join(parts[:depth]) in ROOMS:
            return "/".join(parts[:depth])
    return None


def complaint(room, quoted, name, beside, examples):
    """Why `room` may not include `name`, or None. `beside` are the files of the including file's own folder, `examples`
    those of the examples."""
    if name.startswith("libstream/"):
        header = name[len("libstream/"):]
        if not quoted and (room in PUBLIC_ALL or header in PUBLIC_EVERYWHERE | PUBLIC.get(room, set())):
            return None
        return "public header in quotes" if quoted else "room '%s' may not include this public header" % room
    target = room_of(name)
    if quoted and target is None:
        if room in ("examples", "bench") and name in beside:
            return None
        if room == "bench" and name in examples:  # A bench may time an example, and then shares its files.
            return None
        return "not a path of a room (include by room path)"
    if quoted:
        if target == room:
            return None
        if name in FILES.get(room, []):
            return None
        if target not in ROOMS[room]:
            return "room '%s' may not include room '%s'" % (room, target)
        door = "%s/%s.h" % (target, target.split("/")[-1])
        if target != "base" and name != door:
            return "not the room's door, which is %s" % door
        return None
    for pattern, rooms in ONLY_IN:
        if re.fullmatch(pattern, name):
            return None if room in rooms else "only %s may name this" % ", ".join(sorted(rooms))
    if room in CORE and SYSTEM_IO.fullmatch(name):
        return "the core reaches the system through base only"
    return None


def check(tree):
    """A list of (path, line, include, why)."""
    found, files = [], 0
    examples = os.listdir(os.path.join(tree, "examples")) if os.path.isdir(os.path.join(tree, "examples")) else []
    for top in ("lib", "examples", "bench"):
        for folder, folders, names in os.walk(os.path.join(tree, top)):
            folders.sort()
            for name in sorted(names):
                if not name.endswith((".c", ".h", ".cc", ".cpp", ".hpp", ".inc")):
                    continue
                path = os.path.relpath(os.path.join(folder, name), tree).replace(os.sep, "/")
                room = room_of(path[len("lib/"):] if top == "lib" else path)
                files += 1
                if room is None:
                    found.append((path, 1, "-", "this folder is no room: add it to the table"))
                    continue
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    text = file.read()
                text = COMMENT.sub(lambda m: "\n" * m.group().count("\n"), text)
                for match in INCLUDE.finditer(text):
                    why = complaint(room, match.group(1) == '"', match.group(2), names, examples)
                    if why:
                        found.append((path, text.count("\n", 0, match.start()) + 1, match.group(2), why))
    return found, files


def self_test():
    """Each line is planted alone in its file; `True` must be complained about, `False` must not."""
    cases = [
        ("lib/base/a.c", '"stream/stream.h"', True),
        ("lib/base/a.c", "<fcntl.h>", False),
        ("lib/base/a.c", "<yajl/yajl_parse.h>", False),
        ("lib/base/a.c", "<libstream/store.h>", True),
        ("lib/stream/a.c", '"base/u128.h"', False),
        ("lib/stream/a.c", '"storage/storage.h"', True),
        ("lib/stream/a.c", "<time.h>", True),
        ("lib/stream/a.h", "<libstream/types.h>", False),
        ("lib/storage/a.c", '"stream/stream.h"', True),
        ("lib/storage/a.c", "<libstream/stream.h>", True),
        ("lib/storage/a.c", '"a.h"', True),
        ("lib/storage/a.c", "<unistd.h>", True),
        ("lib/storage/a.c", "<zstd.h>", True),
        ("lib/engine/engine.h", '"storage/storage.h"', True),
        ("lib/engine/local/a.c", '"storage/storage.h"', False),
        ("lib/engine/local/a.c", '"storage/frame.h"', True),
        ("lib/engine/local/a.c", '"produce/produce.h"', True),
        ("lib/produce/a.c", '"consume/consume.h"', True),
        ("lib/produce/a.c", '"engine/engine.h"', False),
        ("lib/produce/a.c", '"engine/local/local.h"', True),
        ("lib/consume/a.c", '"storage/storage.h"', True),
        ("lib/consume/a.c", "<string.h>", False),
        ("lib/api/a.c", '"engine/local/local.h"', False),
        ("lib/api/a.c", '"cli/cli.h"', True),
        ("lib/api/a.c", "<pthread.h>", True),
        ("lib/cli/a.c", '"base/json.h"', False),
        ("lib/cli/a.c", '"base/alloc.h"', True),
        ("lib/cli/a.c", "<libstream/unstable/inspect.h>", False),
        ("lib/cli/a.c", "<unistd.h>", False),
        ("lib/gateway/a.c", '"base/sigv4.h"', False),
        ("lib/gateway/a.c", '"engine/engine.h"', True),
        ("lib/attic/a.c", "<string.h>", True),
        ("lib/base/b.c", '*/ /* #include "api/api.h"', False),
        ("examples/a.c", "<libstream/libstream.h>", False),
        ("examples/a.c", '"base/json.h"', True),
        ("examples/a.c", '"beside.h"', False),
        ("bench/a.c", '"storage/storage.h"', True),
    ]
    failed = 0
    for path, include, wanted in cases:
        with tempfile.TemporaryDirectory() as tree:
            os.makedirs(os.path.join(tree, os.path.dirname(path)))
            open(os.path.join(tree, os.path.dirname(path), "beside.h"), "w").close()
            with open(os.path.join(tree, path), "w", encoding="utf-8") as file:
                line = "/* %s */\n" if include.startswith("*/") else "#include %s\n"
                file.write("/* a first line\n */\n" + line % include)
            found = [f for f in check(tree)[0] if f[0] == path]
            if bool(found) != wanted:
                failed += 1
                print("%s in %s: %s" % (include, path, "not noticed" if wanted else "forbidden: " + found[0][3]))
            elif wanted and found[0][2] != "-" and found[0][1] != 3:
                failed += 1
                print("%s in %s: told at line %d, planted at 3" % (include, path, found[0][1]))
    print("%d of %d planted includes judged as they should be" % (len(cases) - failed, len(cases)))
    return failed != 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    found, files = check(sys.argv[1])
    for path, line, name, why in found:
        print("%s:%d: %s: %s" % (path, line, name, why))
    print("%d files, %d forbidden includes" % (files, len(found)))
    return 1 if found or files == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
