"""The engine: networks in memory, their passes as programs of regions, and who runs them.

Imports `machine` and `maths`. Slots and records are its own; callers use what stands here.
"""
