"""The package as it is published: examples in docstrings run, types are complete, what is optional is not imported."""

from __future__ import annotations

import doctest
import importlib
import os
import pkgutil
import shutil
import subprocess
import sys

import pytest

import libstream

FOLDER = os.path.dirname(libstream.__file__)
MODULES = sorted(found.name for found in pkgutil.walk_packages([FOLDER], "libstream.") if "_native" not in found.name)


@pytest.mark.parametrize("name", ["libstream"] + MODULES)
def test_examples_in_docstrings_run(name: str) -> None:
    module = importlib.import_module(name)
    names = dict(vars(libstream), **vars(module))
    assert doctest.testmod(module, globs=names, optionflags=doctest.ELLIPSIS).failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    count = sum(len(test.examples) for name in ["libstream"] + MODULES
                for test in finder.find(importlib.import_module(name)))
    assert count >= 20


def test_types_are_complete_and_wrong_ones_are_noticed(tmp_path: object) -> None:
    program = shutil.which("mypy")
    if program is None:
        pytest.skip("mypy is not installed")
    assert os.path.exists(os.path.join(FOLDER, "py.typed"))
    alone = shutil.copytree(FOLDER, os.path.join(str(tmp_path), "alone", "libstream"))  # Without its neighbours.
    wrong = os.path.join(str(tmp_path), "wrong.py")
    with open(wrong, "w", encoding="utf-8") as file:
        file.write("import libstream\nlibstream.Store('memory:').stream('a').producer().put('k', 1)\n")
    uses = os.path.join(os.path.dirname(os.path.abspath(__file__)), "uses.py")
    # What mypy knows of the standard library is kept where the build is: to learn it takes longer than all else here.
    cache = os.environ.get("LIBSTREAM_MYPY_CACHE", os.devnull)
    done = subprocess.run([program, "--strict", "--python-version", "3.9", "--no-error-summary", "--cache-dir",
                           cache, alone, uses, wrong], capture_output=True, text=True, timeout=300,
                          env=dict(os.environ, MYPYPATH=os.path.dirname(alone)))
    lines = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert len(lines) == 1 and "wrong.py:2" in lines[0] and "arg-type" in lines[0], done.stdout + done.stderr


def test_importing_needs_nothing_that_is_optional() -> None:
    program = ("import sys, libstream; print(sorted({'numpy', 'pyarrow', 'boto3', 'botocore', 'pytest', 'asyncio'} & "
               "set(sys.modules)))")
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "[]\n"
