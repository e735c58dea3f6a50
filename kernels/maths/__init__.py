"""The mathematics of a VAE as functions of vectors, rows and tiles; imports `machine` only."""
