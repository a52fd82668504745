# What cffi writes (declarations.py): every public call of the library, and those of native.h.
from typing import Any, Callable, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

class _FFI:
    def def_extern(self, *, error: Any = ...) -> Callable[[Function], Function]: ...
    def __getattr__(self, name: str) -> Any: ...

ffi: _FFI
lib: Any
