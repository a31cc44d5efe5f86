"""The plugins that come with gadkit, one folder each, on gadkit's public names alone."""
