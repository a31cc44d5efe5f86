"""Sets of clips: labels, packs, streams, and the workers that decode."""
