"""Two-player training: its losses, its penalties and its loop."""
