"""How a batch is cut into tasks: by its shape alone, so that threads change no bit of a result."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy.typing as npt

__all__ = ["After", "Block", "frame_blocks", "shares"]

# Frames of a task in a small batch; 240 make six tasks, so that one clip keeps threads busy. A multiple of 4:
# then Winograd's tiles look one frame beyond a block, and not further.
FRAMES = 40
WHOLE = 8  # from this many clips on a task is a whole clip: handing out a task costs some 20 microseconds
SHARES = 16  # partial sums of a gradient over the batch: bounds their memory


class Block(NamedTuple):
    """Frames start ... stop of one clip."""

    clip: int
    start: int
    stop: int


# What is to be done with frames start ... stop of clip n of an output, while they are in the cache.
After = Callable[[int, int, int, npt.NDArray[Any]], None]


@functools.lru_cache(maxsize=64)
def frame_blocks(clips: int, frames: int) -> tuple[Block, ...]:
    """Cut every clip of a small batch into blocks of at most `FRAMES` frames; of a large one into none."""
    step = frames if clips >= WHOLE else FRAMES
    return tuple(
        Block(clip, start, min(start + step, frames))
        for clip in range(clips)
        for start in range(0, frames, step)
    )


def shares(blocks: tuple[Block, ...]) -> list[tuple[Block, ...]]:
    """Deal consecutive blocks into at most `SHARES` parts, each of which sums its gradients by itself."""
    size = max(1, -(-len(blocks) // SHARES))
    return [blocks[start : start + size] for start in range(0, len(blocks), size)]
