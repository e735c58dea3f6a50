"""Device functions: what kernels are built of, and nobody calls.

Numba optimises each function that it compiles, with all that it calls, in several rounds, makes
machine code of it, and compiles it once for each constant that it is called with. Of device
functions one round is enough, and nobody would run their machine code: a first training compiles
in 10.6 s of CPU time instead of 15.0, 0.6 of them by ignoring constants and 3.2 by machine code
that is not made. Without any round it would be 9.4, and encoding would take 1.02 of the time.
"""

from collections.abc import Callable
from typing import Any

from numba import types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler


class _NoEnvironments:
    """In the place of the code generator, which is told of what a function that raises needs."""

    @staticmethod
    def set_env(name: str, environment: Any) -> None:
        """Forget it: nobody runs the function."""


class _Linked(JITCodeLibrary):
    """A device function as LLVM sees it, for the kernels that it is linked into."""

    @property
    def codegen(self) -> Any:
        """What is told of functions that can be run."""
        return _NoEnvironments

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        passes, builder = self._codegen._module_pass_manager()
        passes.run(self._final_module, builder)

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        """Return 0: there is no machine code."""
        self._ensure_finalized()
        return 0


class DeviceCompiler(Compiler):
    """Numba's compiler, up to where machine code is made."""

    def compile_extra(self, func: Callable[..., Any]) -> Any:
        """Compile a function for the types of its arguments."""
        self.state.library = _Linked(self.state.targetctx.codegen(), func.__qualname__)
        return super().compile_extra(func)


def ignore_constants(dispatcher: Any) -> None:
    """Let a function be compiled for the types of its arguments, whether they are constants or not.

    LLVM sees the constants where it puts the function into another.
    """
    template_of = dispatcher.get_call_template

    def get_call_template(arguments: Any, keywords: Any) -> Any:
        return template_of(tuple(map(_plain, arguments)), keywords)

    dispatcher.get_call_template = get_call_template


def _plain(kind: Any) -> Any:
    """A type without what is known of its value."""
    if isinstance(kind, types.Tuple):  # of kinds that differ, as constants do
        return types.BaseTuple.from_types([_plain(item) for item in kind])
    return types.unliteral(kind)
