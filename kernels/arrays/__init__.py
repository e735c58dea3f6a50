"""The public kernels, arrays in and arrays out, and their NumPy references; imports all rooms."""
