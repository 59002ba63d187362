"""Measure the accuracy and speed of the exact moments: `python -m figures accuracy` and `speed`."""
