# What cffi writes (declarations.py): every public call of the library, and those of native.h.
from typing import Any

ffi: Any
lib: Any
