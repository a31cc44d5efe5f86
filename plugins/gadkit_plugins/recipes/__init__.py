"""The recipes that gadkit brings along: TOML files, each a complete choice of parts."""
