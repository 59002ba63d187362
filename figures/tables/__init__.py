"""The tables that the docs include, from data files and registries."""
