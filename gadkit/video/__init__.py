"""Videos and stills: decoded to frames, resampled, fitted to a size, and written.

Frames on the way in are uint8 arrays `(H, W, 3)` in sRGB, or `(H, W, 4)` with straight alpha.
"""

#: The files that plugins may use.
__all__ = ["decode", "encode", "pixels", "resample", "stills", "transforms"]
