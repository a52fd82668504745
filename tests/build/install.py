#!/usr/bin/env python3
"""An installed libstream is found and works: from C and C++, by pkg-config and by CMake, shared and static.

    install.py full SOURCE_TREE       install into a temporary prefix, build and run first_program.c in every way
    install.py minimal SOURCE_TREE    with every optional part off: needs libc and zstd only, and as a program without
                                      libraries 2 MiB of memory with a store open

Static is asked twice: the archive of libstream in a program that is linked dynamically else, and a program that needs
no library at all (`cc -static`), as `pkg-config --static` says.

Method: a build directory and a prefix of its own, so that nothing of the build under test can leak in. Unoptimised:
the question is whether it links. A way whose tool is absent (g++, cmake) is told and left out.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

FLAGS = ["-Wall", "-Wextra", "-Werror"]


def run(*command, **options):
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, **options)
    if result.returncode != 0:
        print("$ " + " ".join(command))
        print(result.stdout)
        sys.exit("exit status %d" % result.returncode)
    return result.stdout


def needed(program):
    return set(re.findall(r"\(NEEDED\).*\[(.*)\]", run("readelf", "-d", program)))


def check_program(program, environment=None):
    said = run(program, env=environment).strip()
    if not re.fullmatch(r"libstream \d+\.\d+\.\d+", said):
        sys.exit("%s said: %s" % (program, said))
    print("runs: " + os.path.basename(program))


INSTALLED = ("stream:shared_library", "libstream.a", "lstream")


def install(source, work, targets, *options):
    """Configure, build `targets` (none: all) and install; returns (prefix, libdir)."""
    prefix = os.path.join(work, "prefix")
    build = os.path.join(work, "build")
    run("meson", "setup", build, source, "--prefix", prefix, "--buildtype", "debug", "-Dtests=disabled", *options)
    run("meson", "compile", "-C", build, *targets)
    run("meson", "install", "-C", build, "--no-rebuild")
    for folder, _, names in os.walk(prefix):
        if "libstream.pc" in names:
            return prefix, os.path.dirname(folder)
    sys.exit("no libstream.pc was installed")


def without_libraries(here, work, libdir):
    """A program that needs no library at all, where there are archives of all that it takes."""
    environment = dict(os.environ, PKG_CONFIG_PATH=os.path.join(libdir, "pkgconfig"))
    flags = run("pkg-config", "--static", "--cflags", "--libs", "libstream", env=environment).split()
    archives = ["libc.a"] + ["lib%s.a" % flag[2:] for flag in flags if flag.startswith("-l") and flag != "-lstream"]
    missing = [name for name in archives if not os.path.isabs(run("cc", "-print-file-name=" + name).strip())]
    if missing:
        print("left out: a program without libraries, for there is no " + ", ".join(missing))
        return
    program = os.path.join(work, "without_libraries")
    run("cc", "-static", *FLAGS, os.path.join(here, "first_program.c"), *flags, "-o", program)
    if needed(program):
        sys.exit("a program that is to need no library needs " + " ".join(sorted(needed(program))))
    check_program(program)
    return flags


def with_pkg_config(here, work, libdir):
    environment = dict(os.environ, PKG_CONFIG_PATH=os.path.join(libdir, "pkgconfig"))
    cflags = run("pkg-config", "--cflags", "libstream", env=environment).split()
    libs = run("pkg-config", "--libs", "libstream", env=environment).split()
    static_libs = run("pkg-config", "--libs", "--static", "libstream", env=environment).split()
    at = static_libs.index("-lstream")
    static_libs[at:at + 1] = ["-Wl,-Bstatic", "-lstream", "-Wl,-Bdynamic"]

    for compiler, language in (("cc", "c"), ("c++", "c++")):
        if shutil.which(compiler) is None:
            print("left out: there is no " + compiler)
            continue
        source = ["-x", language, os.path.join(here, "first_program.c"), "-x", "none"]
        shared = os.path.join(work, "pkgconfig_%s_shared" % language)
        run(compiler, *FLAGS, *cflags, *source, *libs, "-o", shared)
        if "libstream.so.0" not in needed(shared):
            sys.exit("the shared program does not need libstream.so.0")
        check_program(shared, dict(os.environ, LD_LIBRARY_PATH=libdir))
        static = os.path.join(work, "pkgconfig_%s_static" % language)
        run(compiler, *FLAGS, *cflags, *source, *static_libs, "-o", static)
        if "libstream.so.0" in needed(static):
            sys.exit("the static program needs libstream.so.0")
        check_program(static)


def with_cmake(here, work, prefix):
    if shutil.which("cmake") is None or shutil.which("c++") is None:
        print("left out: there is no cmake or no c++")
        return
    build = os.path.join(work, "cmake")
    run("cmake", "-G", "Ninja", "-S", here, "-B", build, "-DCMAKE_PREFIX_PATH=" + prefix)
    run("cmake", "--build", build)
    for program in ("c_libstream", "c_static", "cxx_libstream", "cxx_static"):
        check_program(os.path.join(build, program))


def full(source, here, work):
    prefix, libdir = install(source, work, INSTALLED)
    installed = set(os.listdir(os.path.join(prefix, "include", "libstream")))
    for name in os.listdir(os.path.join(source, "include", "libstream")):
        if name.endswith(".h") and name not in installed:
            sys.exit("not installed: include/libstream/" + name)
    unstable = os.path.join(source, "include", "libstream", "unstable")
    for name in os.listdir(unstable) if os.path.isdir(unstable) else []:
        if name.endswith(".h") and not os.path.exists(os.path.join(prefix, "include", "libstream", "unstable", name)):
            sys.exit("not installed: include/libstream/unstable/" + name)
    with_pkg_config(here, work, libdir)
    without_libraries(here, work, libdir)
    with_cmake(here, work, prefix)
    program = os.path.join(work, "resident_shared")
    run("cc", *FLAGS, "-I", os.path.join(prefix, "include"), os.path.join(here, "resident.c"), "-L", libdir, "-lstream",
        "-Wl,-rpath," + libdir, "-o", program)
    print(run(program, os.path.join(work, "store"), "192", "5120").strip())  # with libcrypto: README, Limits


def minimal(source, here, work):
    prefix, libdir = install(source, work, (), "-Dauto_features=disabled", "-Doptimization=s")
    allowed = r"libc\.so\.6|libm\.so\.6|ld-linux.*|libzstd\.so\.1"
    library = os.path.join(libdir, "libstream.so")
    bad = {name for name in needed(library) if not re.fullmatch(allowed, name)}
    if bad:
        sys.exit("the minimal library needs " + " ".join(sorted(bad)))
    program = os.path.join(work, "minimal_static")
    run("cc", *FLAGS, "-I", os.path.join(prefix, "include"), os.path.join(here, "first_program.c"),
        os.path.join(libdir, "libstream.a"), "-lzstd", "-o", program)
    check_program(program)
    flags = without_libraries(here, work, libdir)
    if flags:  # The small device: 2 MiB in all, with a store, a stream and a producer open.
        program = os.path.join(work, "resident")
        run("cc", "-static", *FLAGS, os.path.join(here, "resident.c"), *flags, "-o", program)
        print(run(program, os.path.join(work, "store"), "192", "2048").strip())
    print("the minimal library needs " + " ".join(sorted(needed(library))))


def main():
    which, source = sys.argv[1:3]
    here = os.path.dirname(os.path.abspath(__file__))
    with tempfile.TemporaryDirectory(prefix="libstream-install-") as work:
        {"full": full, "minimal": minimal}[which](source, here, work)


if __name__ == "__main__":
    main()
