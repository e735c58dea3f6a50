"""Machine code on disk: one file for each compiled signature, checked before it is loaded.

A file holds a mark, a checksum and what Numba keeps of a compiled function, which is a pickle: it
runs what it names. So it is read only from a folder that nobody else can write (`cache`), and only
after its checksum was found right. That is taken over the key of all sources, the file's name and
its content. The name is made of the function, the types, the processor and its features, and
Numba's options. What does not match in anything is as good as missing: it is compiled again, and
written again.
"""

import hashlib
import pickle
from collections.abc import Callable
from typing import Any

from numba.core import config
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps
from numba.core.sigutils import normalize_signature

from .cache import open_folder, read_file, warn_once, write_file

_MARK = b"fastvae machine code 1\n"
_N_DIGEST = hashlib.sha256().digest_size


def _checksum(key: str, name: str, content: bytes) -> bytes:
    return hashlib.sha256(f"{key}\0{name}\0".encode() + content).digest()


class CachedCode(NullCache):
    """The files of one function, in the place of Numba's own cache.

    Parameters
    ----------
    function : callable
        The function that is compiled.
    key : str
        A digest of all sources, settings and versions; it names the folder.
    own_key : str
        A digest of what else the function is made from.
    """

    def __init__(self, function: Callable[..., Any], key: str, own_key: str) -> None:
        code = function.__code__
        bytecode = hashlib.sha256(code.co_code).hexdigest()
        place = (function.__module__, function.__qualname__, code.co_firstlineno)
        self._function = (*place, bytecode, own_key)
        self._key = key

    def _name(self, signature: Any, codegen: Any) -> str:
        """Return the name of a signature's file on this processor."""
        argument_types, _ = normalize_signature(signature)
        # Numba reads its variables again when they change.
        optimiser = (config.OPT, config.SLP_VECTORIZE, config.LOOP_VECTORIZE)
        options = (*optimiser, config.BOUNDSCHECK, config.USING_SVML, config.DEBUGINFO_DEFAULT)
        what = repr((self._function, argument_types, codegen.magic_tuple(), options))
        return f"{self._function[1]}-{hashlib.sha256(what.encode()).hexdigest()[:40]}.code"

    def _content(self, name: str) -> bytes | None:
        """Return what a file holds, or None where there is none that is whole and ours."""
        try:
            with open_folder(self._key) as folder:
                found = read_file(folder, name)
        except OSError:
            return None
        start = len(_MARK) + _N_DIGEST
        content = found[start:]
        expected = _MARK + _checksum(self._key, name, content)
        return content if found[:start] == expected else None

    def holds(self, signature: Any, target_context: Any) -> bool:
        """Tell whether a signature's code would be loaded, not compiled."""
        return self._content(self._name(signature, target_context.codegen())) is not None

    def load_overload(self, sig: Any, target_context: Any) -> CompileResult | None:
        """Return the code of a signature, as Numba asks for it; None where it must be compiled."""
        target_context.refresh()
        content = self._content(self._name(sig, target_context.codegen()))
        if content is None:
            return None
        try:
            return CompileResult._rebuild(target_context, *pickle.loads(content))
        except Exception:  # written whole, but by something that this process cannot follow
            return None

    def save_overload(self, sig: Any, data: CompileResult) -> None:
        """Keep the code of a signature; where that fails, say so, once."""
        if data.library.has_dynamic_globals:
            return  # addresses of this process are in it
        name = self._name(sig, data.codegen)
        content = dumps(data._reduce())
        try:
            with open_folder(self._key, create=True) as folder:
                write_file(folder, name, _MARK + _checksum(self._key, name, content) + content)
        except OSError as error:
            warn_once(error)
