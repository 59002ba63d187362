"""The figures: from data files or exact results to a picture and its caption, one file a figure."""
