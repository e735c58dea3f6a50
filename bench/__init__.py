"""Benchmarks of fastvae against the NumPy baseline, PyTorch and JAX, and their report."""
