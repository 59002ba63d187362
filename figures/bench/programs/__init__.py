"""What is measured, each run by itself in a process of its own: `python -m figures.bench.programs.NAME`."""
