"""What the arguments of compiled functions are. Numba infers their types; readers find them here.

Vectors are named by their class, `vectors.Vector`.
"""

from typing import Any, TypeAlias

Pointer: TypeAlias = Any
"""A raw pointer to numbers of one type, see `memory`."""
Word: TypeAlias = Any
"""A whole number: int64, or uint64 for seeds and bits."""
Real: TypeAlias = Any
"""A float64, or a number of the type that the function's pointers point to."""
Vectors: TypeAlias = Any
"""A tuple of vectors."""
Record: TypeAlias = Any
"""A record or named tuple whose fields are read by name; records are passed by reference."""
Words: TypeAlias = Any
"""A one-dimensional array of int64."""
