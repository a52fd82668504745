"""What pip asks to build the package: meson-python, at the project's root, with one thing put right. The C is of the
stable ABI of CPython 3.9, and meson-python calls a wheel one for the CPython that builds it, so that older ones, for
which it is as good, would refuse it."""

import base64
import hashlib
import os
import zipfile

os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
import mesonpy  # noqa: E402
from mesonpy import *  # noqa: E402,F401,F403

OLDEST = "cp39"  # As Py_LIMITED_API in libstream/meson.build.


def retag(folder, name):
    """Let a wheel of the stable ABI say that it is one from OLDEST on. Answers its name."""
    distribution, version, python, abi, platform = name[:-len(".whl")].split("-")
    if abi != "abi3" or python == OLDEST:
        return name
    renamed = "-".join((distribution, version, OLDEST, abi, platform)) + ".whl"
    about = "%s-%s.dist-info/" % (distribution, version)
    with zipfile.ZipFile(os.path.join(folder, name)) as old:
        said = old.read(about + "WHEEL").replace(b"Tag: " + python.encode(), b"Tag: " + OLDEST.encode())
        digest = base64.urlsafe_b64encode(hashlib.sha256(said).digest()).rstrip(b"=").decode()
        line = "%sWHEEL,sha256=%s,%d" % (about, digest, len(said))
        record = "".join((line if row.startswith(about + "WHEEL,") else row) + "\n"
                         for row in old.read(about + "RECORD").decode().splitlines())
        changed = {about + "WHEEL": said, about + "RECORD": record.encode()}
        with zipfile.ZipFile(os.path.join(folder, renamed), "w") as made:
            for item in old.infolist():
                made.writestr(item, changed.get(item.filename, old.read(item)))
    os.remove(os.path.join(folder, name))
    return renamed


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    return retag(wheel_directory, mesonpy.build_wheel(wheel_directory, config_settings, metadata_directory))
