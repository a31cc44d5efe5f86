"""A new start from an old model: which of its weights fit new nets, and what became of them."""
