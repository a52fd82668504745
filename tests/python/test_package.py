"""The package as it is published: examples in docstrings run, types are complete, what is optional is not imported."""

from __future__ import annotations

import doctest
import importlib
import inspect
import os
import pkgutil
import pydoc
import re
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


def test_programs_in_the_readme_run(folder: str, monkeypatch: pytest.MonkeyPatch,
                                    capsys: pytest.CaptureFixture[str]) -> None:
    """Each after the other, on one store; the one that runs for ever ends when it has handled all."""
    readme = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lib", "python", "README.md")
    with open(readme, encoding="utf-8") as file:
        programs = re.findall("```python\n(.*?)```", file.read(), re.S)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("LIBSTREAM_STORE", "orders.store")
    names: dict[str, object] = {"Store": libstream.Store}
    exec(programs[0], names)
    assert "customer-1 b'honey'\n3 <memory" in capsys.readouterr().out
    exec("store = Store('orders.store'); stream = store.stream('orders')", names)
    exec(programs[1].replace(".run()", ".run(until_caught_up=True)"), names)
    assert capsys.readouterr().out == "b'tea'\nb'bread'\nb'honey'\n"
    exec(programs[2], names)
    exec("found = [record.data for record in stream.iterator()]; kinesis.close(); store.close()", names)
    assert len(programs) == 3 and names["found"] == [b"tea", b"bread", b"honey", b"tea"]


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    count = sum(len(test.examples) for name in ["libstream"] + MODULES
                for test in finder.find(importlib.import_module(name)))
    assert count >= 20


def test_a_method_of_c_is_told_of_as_one_of_python() -> None:
    """`Producer.put` goes to C at once when it can: help, signatures, subclasses and reloading know nothing of that."""
    put = libstream.Producer.put
    assert str(inspect.signature(put)) == ("(self, /, partition_key, data, explicit_hash_key=None, durability=None, "
                                           "number=None)")
    assert (inspect.getdoc(put) or "").startswith("Append one record.")
    assert re.search(r"put\([\s|]*self,[\s|]+/,[\s|]+partition_key", pydoc.plain(pydoc.render_doc(libstream.Producer)))

    class Loud(libstream.Producer):
        def put(self, *arguments: object, **named: object) -> libstream.RecordId:
            return super().put(*(str(arguments[0]).upper(), *arguments[1:]), **named)  # type: ignore[arg-type]

    with libstream.Store("memory:") as store, store.create_stream("orders") as stream:
        loud = Loud(stream)
        ids = [loud.put("a", b"1"), loud.put("b", data=b"2"), loud.put("c", bytearray(b"3"), explicit_hash_key=5)]
        records = list(stream.iterator())
        assert [(r.partition_key, r.data) for r in records] == [("A", b"1"), ("B", b"2"), ("C", b"3")]
        assert [r.id for r in records] == ids and ids[0] in {records[0].id} and ids[0]._asdict() == {
            "shard": 0, "seqno": ids[0].seqno} and type(ids[0]) is libstream.RecordId
    again = "import importlib, libstream; importlib.reload(libstream.producer)"
    assert subprocess.run([sys.executable, "-c", again], capture_output=True, text=True).stderr == ""


def test_the_package_says_what_it_is() -> None:
    assert libstream.__version__.count(".") == 2
    assert libstream.FEATURES <= {"json", "crypto", "gzip", "s3"} and isinstance(libstream.FEATURES, frozenset)


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

    def check(version: str, *what: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([program, "--python-version", version, "--no-error-summary", "--cache-dir", cache,
                               *what], capture_output=True, text=True, timeout=300,
                              env=dict(os.environ, MYPYPATH=os.path.dirname(alone)))

    version, strict = "3.9", ("--strict", alone, uses, wrong)
    done = check(version, *strict)
    oldest = re.search(r"3\.9 is not supported \(must be (3\.\d+) or higher\)", done.stderr)
    if oldest is not None:
        version = oldest.group(1)
        done = check(version, *strict)
    lines = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert len(lines) == 1 and "wrong.py:2" in lines[0] and "arg-type" in lines[0], done.stdout + done.stderr
    examples = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "boto3")
    if os.path.isdir(examples):  # Their functions say no types, as those of many programs; what they call does.
        done = check(version, "--check-untyped-defs", examples)
        assert done.returncode == 0, done.stdout + done.stderr


def test_importing_needs_nothing_that_is_optional() -> None:
    program = ("import sys, libstream; print(sorted({'numpy', 'pyarrow', 'boto3', 'botocore', 'pytest', 'asyncio'} & "
               "set(sys.modules)))")
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.parametrize("how", [["-O"], ["-OO"], ["-X", "dev", "-W", "error"]])
def test_every_way_of_running_python_runs_it(how: "list[str]") -> None:
    """Without assertions, without docstrings, and where every warning is an error."""
    program = ("import importlib, inspect, libstream\n"
               "for name in %r:\n    importlib.import_module(name)\n"
               "with libstream.Store('memory:') as store, store.create_stream('orders') as stream:\n"
               "    stream.producer().put('k', b'tea'), stream.producer().put_batch([('k', b'honey')])\n"
               "    print(*(record.data for record in stream.iterator()), inspect.signature(libstream.Producer.put))\n"
               "    print((libstream.Producer.put.__doc__ or 'Nothing')[:7])" % MODULES)
    done = subprocess.run([sys.executable, *how, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    said, document = done.stdout.splitlines()
    assert said.startswith("b'tea' b'honey' (self, /, partition_key, data, ")
    assert document == ("Nothing" if "-OO" in how else "Append ")


def test_a_second_interpreter_of_a_process_is_refused() -> None:
    """Objects of one would be given to the other."""
    interpreters = pytest.importorskip("_xxsubinterpreters")
    program = ("import libstream, _xxsubinterpreters as all; made = all.create()\n"
               "try:\n    all.run_string(made, 'import libstream')\n"
               "except all.RunFailedError as error:\n    print(error)\n"
               "with libstream.Store('memory:') as store:\n"
               "    print(isinstance(store.create_stream('s').producer().put('k', b''), libstream.RecordId))")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert interpreters and (done.returncode, done.stderr) == (0, "")
    # By CPython from 3.12 on, of any module that is not made for it; before that by the module.
    assert ("one interpreter of a process" in done.stdout or "does not support loading in subinterp" in done.stdout)
    assert done.stdout.endswith("True\n")
