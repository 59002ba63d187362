"""Rewards of sampled answers: the built-in ones, a user's own function, and weighted sums of them.

`built_in` holds the named rewards, `functions` loads and calls a user's function, `process` runs it in a process with a
time limit, and `score` scores the samples of a batch. `qtrain.config.reward` reads the configuration key `reward`.
"""
