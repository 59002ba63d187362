"""The figures, one file each: data from files or exact results, the plot, and its caption."""
