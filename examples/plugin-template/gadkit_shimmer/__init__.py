"""A generator and a loss for gadkit."""
