"""Comparisons: recipes and runs side by side, trained under one budget and measured by one protocol."""
