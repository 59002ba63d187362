"""The project's figures and the tables of its docs, made from the data files of the studies."""
