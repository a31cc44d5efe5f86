"""Bodies that fly straight and bounce off walls, in closed form: where one is at a time depends on no time before."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def bounced(
    start: ArrayLike, velocity: ArrayLike, time: ArrayLike, low: ArrayLike, high: ArrayLike
) -> tuple[Array, Array]:
    """Position and velocity along one axis between two walls that reflect without loss.

    The walls are mirrors: in the mirrored world the body flies straight on, and folding that world back, with a period
    of twice the distance of the walls, tells where it is.

    Args:
        start: Position at time 0, in [low, high].
        velocity: Velocity at time 0, in units of length a unit of time.
        time: Times, of either sign.
        low: The lower wall.
        high: The upper wall; where the two are one, the body stands still.

    Returns:
        Position and velocity at each time, float64, in the broadcast shape of the arguments. At the very moment of a
        bounce, the velocity is the one before it or the one after.
    """
    start, velocity, time, low, high = np.broadcast_arrays(
        *(np.asarray(each, np.float64) for each in (start, velocity, time, low, high))
    )
    room = high - low
    safe = np.where(room > 0, room, 1.0)
    unfolded = np.mod(start - low + velocity * time, 2 * safe)
    back = unfolded >= safe
    position = low + np.where(back, 2 * safe - unfolded, unfolded)
    return np.where(room > 0, position, low), np.where(room > 0, np.where(back, -velocity, velocity), 0.0)
