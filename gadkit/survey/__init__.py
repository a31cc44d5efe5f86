"""A look at footage before training: what is there, what would be dropped, what packing takes."""
