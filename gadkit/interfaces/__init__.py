"""The contracts that components implement, one file a kind."""
