"""The page of a run: one HTML file with its curves, its samples as they became, its evaluations and its settings."""
