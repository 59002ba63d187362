"""The paper's Tables 1 to 3 and Figures 3 and 4 as runs: `python -m figures paper`."""
