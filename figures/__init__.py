"""The project's evidence: studies, benchmarks, the paper's tables as runs, and the figures and tables of the docs.

`studies`, `bench`, `paper` and `exact` measure; `data` holds the files that they write; `plots` and `tables` turn these
files into figures and tables; `claims` adds the trained transformer's runs to the theory's claims.
"""
