"""Lookahead-Minmax (Chavdarova et al. 2021, arXiv:2006.14567), a direction for gadkit."""
