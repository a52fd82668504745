#!/usr/bin/env python3
"""Platforms that libstream is not for are refused when it is configured, by name: refused.py SOURCE_ROOT

Each is described to meson as one that it would build for with this machine's compiler, and nothing is built."""
import os
import subprocess
import sys
import tempfile

CROSS = """[binaries]
c = 'cc'
[host_machine]
system = '%s'
cpu_family = '%s'
cpu = '%s'
endian = '%s'
"""


def configure(system, family, endian):
    with tempfile.TemporaryDirectory() as build:
        cross = os.path.join(build, "cross.ini")
        with open(cross, "w", encoding="utf-8") as file:
            file.write(CROSS % (system, family, family, endian))
        done = subprocess.run(["meson", "setup", "--cross-file", cross, os.path.join(build, "b"), sys.argv[1]],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


failed = 0
for platform in (("darwin", "aarch64", "little"), ("linux", "x86", "little"), ("linux", "aarch64", "big")):
    status, said = configure(*platform)
    wanted = "libstream is for Linux on x86_64 and aarch64 (little-endian), not for %s on %s (%s-endian)" % platform
    if status == 0 or wanted not in said:
        print("not refused: %s on %s, %s-endian:\n%s" % (*platform, said))
        failed += 1
sys.exit(1 if failed else 0)
