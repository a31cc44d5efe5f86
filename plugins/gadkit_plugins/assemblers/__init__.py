"""Assemblers: independent frames, a walk, recurrent nets, a transformer, continuous motion codes."""
