"""Speed and memory beside other trainers, measured: `python -m figures bench`."""
