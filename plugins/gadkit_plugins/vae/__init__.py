"""The variational trainer."""
