"""Programs that a benchmark times, each in a separate process: `python -m figures.bench.programs.NAME`."""
