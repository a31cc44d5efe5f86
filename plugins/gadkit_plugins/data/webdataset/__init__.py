"""WebDataset shards: streamed from files or over HTTP, or read from a pipe."""
