"""TOML files by their grammar, names of shipped files, result folders."""
