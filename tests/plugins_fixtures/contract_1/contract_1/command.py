"""A command of contract 1."""


def contract(word: str, *, times: int = 1) -> None:
    """Says a word."""
    print(" ".join([word] * times))
