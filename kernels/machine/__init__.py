"""The machine: instruction set, compilation, vectors, memory, threads and their teams.

Imports nothing of this project.
"""
