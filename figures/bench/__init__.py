"""Benchmarks of speed and memory against other trainers: `python -m figures bench`.

A suite (`suites`) lists its cases; each case is one process (`programs`), run by `run` and cached by `store`; `record`
and `page` write the results.
"""
