"""The command `qtrain gpu-check`: what needs a GPU to be shown, in three stages, as JSON and as a page of the docs."""
