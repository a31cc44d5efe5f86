"""Feature networks: what videos are measured in."""
