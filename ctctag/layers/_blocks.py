"""How a batch is cut into tasks: by its shape alone, so that threads change no bit of a result."""

from typing import NamedTuple

__all__ = ["Block", "frame_blocks", "shares"]

FRAMES = 40  # frames of a task; 240 frames make six tasks, so that even one clip keeps several threads busy
SHARES = 16  # partial sums of a gradient over the batch: bounds their memory


class Block(NamedTuple):
    """Frames start ... stop of one clip."""

    clip: int
    start: int
    stop: int


def frame_blocks(clips: int, frames: int) -> list[Block]:
    """Cut every clip into blocks of at most `FRAMES` frames."""
    starts = range(0, frames, FRAMES)
    return [Block(clip, start, min(start + FRAMES, frames)) for clip in range(clips) for start in starts]


def shares(blocks: list[Block]) -> list[list[Block]]:
    """Deal consecutive blocks into at most `SHARES` lists, each of which sums its gradients by itself."""
    size = max(1, -(-len(blocks) // SHARES))
    return [blocks[start : start + size] for start in range(0, len(blocks), size)]
