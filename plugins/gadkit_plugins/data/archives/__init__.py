"""Zips and tars of frames or of video files."""
