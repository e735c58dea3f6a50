"""Training on several ranks: measured beside one process, and beside PyTorch's over gloo."""
