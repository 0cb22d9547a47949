"""Benchmarks: `python -m benchmarks NAME [options]`; each module's first line is the question it answers."""
