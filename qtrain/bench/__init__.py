"""How fast an update is and what memory it takes, beside other ways to do the same, measured: `qtrain bench`."""
