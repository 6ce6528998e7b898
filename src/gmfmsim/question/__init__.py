"""The grammar of experiments/*.toml: what is asked, of which evidence, model and trial."""
