"""Datasets: folders of videos, folders of frames, and the clips that come with gadkit."""
