"""Sizes that depend on the processor: how much work stays in which cache, and who fetches it.

Results do not depend on them. `python -m bench.sizes` times training steps with other numbers in
turn; on Intel it found none that is better (bench/NOTES.md). Zen's are those of earlier trials, and
were not searched so; its blocks of rows were not measured. `FASTVAE_SIZES` sets some of them, as in
`FASTVAE_SIZES=block=256,spans=4`: for that search.
"""

import os
from typing import NamedTuple

import llvmlite.binding as llvm

from .isa import ISA


class Sizes(NamedTuple):
    """What a kernel takes at a time."""

    block: int
    """Contracted indices of a product: a part of a panel of 8 KB (AVX2) or 16 KB (AVX-512), which
    stays in the first-level cache."""
    spans: int
    """Spans of listed non-zeros: of one, runs are so short that starting them costs more than the
    first-level cache saves; four do not fit in it."""
    block_rows: int
    """Rows that a member takes through several regions, at most: their outputs and gradients, with
    the weights that they meet, stay in the second-level cache. A sparse product has room for 64."""
    asks: int
    """Whether parameters and moments are asked for while their gradient is computed: they do not
    fit in the second-level cache, and come from the third one by one."""


ZEN = Sizes(block=128, spans=2, block_rows=64, asks=1)
INTEL = Sizes(block=128, spans=2, block_rows=64, asks=0)
"""Its prefetchers see the state's three streams themselves, and asking for them as well takes the
buffers that they need: a step of batch 1 takes 0.8 of the time without, of batch 20 0.9."""


def _of_processor() -> Sizes:
    """The sizes of this processor; those of Zen where none were measured.

    Smaller instruction sets have one machine code for all processors.
    """
    is_zen = llvm.get_host_cpu_name().startswith("znver")
    return INTEL if ISA.name == "avx512" and not is_zen else ZEN


def _changed(sizes: Sizes, text: str) -> Sizes:
    """Sizes with those that a text names, as name=number, separated by commas.

    Raises
    ------
    ValueError
    """
    for item in filter(None, text.replace(" ", "").split(",")):
        name, _, number = item.partition("=")
        if name not in Sizes._fields or not number.isdecimal():
            raise ValueError(
                f"FASTVAE_SIZES must be name=number with names of {', '.join(Sizes._fields)}, "
                f"separated by commas; got {item!r}"
            )
        sizes = sizes._replace(**{name: int(number)})
    if sizes.block % 64 or sizes.block_rows % 8 or not 8 <= sizes.block_rows <= 64:
        raise ValueError(
            "sizes must be: block a multiple of 64, block_rows 8, 16 ... 64; "
            f"got {sizes.block} and {sizes.block_rows}"
        )
    return sizes


SIZES = _changed(_of_processor(), os.environ.get("FASTVAE_SIZES", ""))
BLOCK, SPANS, BLOCK_ROWS, ASKS = SIZES
