"""How accurate and how fast the exact moments are, measured: `python -m figures accuracy` and `speed`."""
