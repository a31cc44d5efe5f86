"""Runs: the folder of a training, its checkpoints and log, the models that come out of it, and how one is started."""
