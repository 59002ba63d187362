"""The testbed: small synthetic tasks, the pre-training of their base models, and the setting of p0.

`digit_sum` and `multi_hop` are reasoning tasks in the frame of `two_formats`; `random_words` is for measuring speed and
memory. `pretrain` trains the base models and `p0` sets the success probability that training starts from.
"""
