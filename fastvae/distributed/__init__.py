"""Training on blocks of every batch, by one process or by many ranks: the same bits for any number.

How blocks, sums and owners fit together: docs/scaling.md.
"""

from fastvae.distributed.blocks import rows_of

__all__ = ["rows_of"]
