"""Sets with known factors, made on the fly."""
