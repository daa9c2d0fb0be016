"""Benchmarks beside samtools: `python benchmarks/run.py`."""
