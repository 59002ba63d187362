"""The paper's Tables 1 to 3 and Figures 3 and 4 as runs: `qtrain reproduce`.

tables.py names each cell and what the paper reports for it, `qtrain/configs/paper` has a file for each data set and
start, cost.py says what a cell takes, run.py runs it.
"""
