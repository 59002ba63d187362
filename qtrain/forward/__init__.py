"""The trainer's forward pass: rows packed without padding, with each prompt run once for all of its rationales.

`rows` splits a batch into micro-batches, `packing` lays each of them out as one sequence, `micro_batches` runs them
through the decoder with the attention of `attention` (`tiled` on a CPU, `flex` on a GPU), `head` turns the final hidden
states into log-probabilities and gradients, and `log_probs` collects these by row. `support` tries each model;
for those whose own forward pass is another, `plain` runs padded rows instead.
"""
