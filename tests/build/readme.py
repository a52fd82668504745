#!/usr/bin/env python3
"""The README's first program compiles as printed there, and runs.

    readme.py README INCLUDE_DIR LIBRARY_DIR

Method: takes the first ```c block that holds a main, compiles it with warnings as errors against the build under test,
runs it in an empty directory, and wants exit status 0. The second run, in the same directory, must succeed too: a user
runs the first program twice.
"""

import os
import re
import subprocess
import sys
import tempfile


def main():
    readme, include_dir, library_dir = sys.argv[1:4]
    if not os.path.exists(readme):
        print("there is no README.md")
        return 77
    with open(readme, encoding="utf-8") as file:
        blocks = re.findall(r"^```c\n(.*?)^```", file.read(), flags=re.S | re.M)
    programs = [block for block in blocks if re.search(r"\bmain\s*\(", block)]
    if not programs:
        print("README.md has no ```c block with a main")
        return 1
    with tempfile.TemporaryDirectory(prefix="libstream-readme-") as work:
        source = os.path.join(work, "first.c")
        with open(source, "w", encoding="utf-8") as file:
            file.write(programs[0])
        program = os.path.join(work, "first")
        subprocess.run(["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-I", include_dir, source, "-L", library_dir,
                        "-lstream", "-Wl,-rpath," + library_dir, "-o", program], check=True)
        os.mkdir(os.path.join(work, "empty"))
        for _ in range(2):
            subprocess.run([program], check=True, cwd=os.path.join(work, "empty"), stdin=subprocess.DEVNULL, timeout=60)
    return 0


if __name__ == "__main__":
    sys.exit(main())
