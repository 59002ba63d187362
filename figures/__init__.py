"""The figures: compute -> data -> plot, one file a figure."""
