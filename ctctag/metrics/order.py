r"""In which order the tags come: sequence error rate, exact sequences, order of pairs.

Conventions: a sequence is the labels of one clip in order of onset; labels are compared by equality, so class
numbers and names do as well. The *reference* is true, the *hypothesis* was decoded.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctctag.exceptions import ParameterError
from ctctag.metrics._inputs import check_sequences

__all__ = ["SequenceErrors", "edit_counts", "exact_sequence_rate", "order_accuracy", "sequence_error_rate"]

Labels = Sequence[Hashable]


@dataclass(frozen=True)
class SequenceErrors:
    """Edit errors over all clips.

    Attributes
    ----------
    rate : float
        ``(substitutions + deletions + insertions) / n_reference``; may exceed 1.
    substitutions, deletions, insertions : int
        Labels replaced, missed, and heard without being there.
    n_reference : int
        Labels in the references.
    """

    rate: float
    substitutions: int
    deletions: int
    insertions: int
    n_reference: int


def edit_counts(reference: Labels, hypothesis: Labels) -> tuple[int, int, int]:
    """Return the fewest edits that turn the reference into the hypothesis.

    Where several ways are shortest, the one with most substitutions is counted. So the counts are unique;
    exchanging the sequences exchanges deletions and insertions, and reversing both changes nothing.

    Parameters
    ----------
    reference, hypothesis : sequence of hashable
        Labels of one clip.

    Returns
    -------
    substitutions, deletions, insertions : int
        Their sum is the Levenshtein distance.

    Examples
    --------
    >>> edit_counts(["speech", "knock", "phone"], ["speech", "cough", "phone", "keys"])
    (1, 0, 1)
    >>> edit_counts("ab", "ba")  # not one deletion and one insertion
    (2, 0, 0)
    """
    substitutions, deletions, insertions = _edits([list(reference)], [list(hypothesis)])[0]
    return int(substitutions), int(deletions), int(insertions)


def sequence_error_rate(references: Sequence[Labels], hypotheses: Sequence[Labels]) -> SequenceErrors:
    """Return substitutions, deletions and insertions over all clips, and their rate.

    Parameters
    ----------
    references, hypotheses : sequence of sequence of hashable, length N
        True and decoded labels of each clip; either may be empty.

    Returns
    -------
    SequenceErrors
        Errors are summed over clips before dividing, so a clip counts by its labels. Where no reference has
        any label, the rate is the number of insertions.

    Raises
    ------
    ParameterError
        If the numbers of sequences differ, or an entry is not a sequence.

    Examples
    --------
    >>> sequence_error_rate([["a", "b", "c"], []], [["a", "c"], ["b"]])
    SequenceErrors(rate=0.6666666666666666, substitutions=0, deletions=1, insertions=1, n_reference=3)
    """
    true, heard = check_sequences(references, hypotheses)
    substitutions, deletions, insertions = (int(count) for count in _edits(true, heard).sum(axis=0))
    n_reference = sum(map(len, true))
    rate = (substitutions + deletions + insertions) / max(n_reference, 1)
    return SequenceErrors(rate, substitutions, deletions, insertions, n_reference)


def exact_sequence_rate(references: Sequence[Labels], hypotheses: Sequence[Labels]) -> float:
    """Return the share of clips whose labels are all right and in the right order.

    Parameters
    ----------
    references, hypotheses : sequence of sequence of hashable, length N
        True and decoded labels of each clip.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    ParameterError
        If there is no clip, the numbers of sequences differ, or an entry is not a sequence.

    Examples
    --------
    >>> exact_sequence_rate([["a", "b"], ["c"]], [["b", "a"], ["c"]])
    0.5
    """
    true, heard = check_sequences(references, hypotheses)
    if not true:
        raise ParameterError("references is empty, but a rate needs at least one clip")
    return sum(r == h for r, h in zip(true, heard, strict=True)) / len(true)


def order_accuracy(references: Sequence[Labels], hypotheses: Sequence[Labels]) -> float:
    """Return the share of pairs of labels that were heard in the right order.

    The first, second, ... occurrence of a label in the reference is matched with the first, second, ... in
    the hypothesis; occurrences without a partner are left out. Every two matched occurrences of *different*
    labels are a pair (of the same label they could not be in the wrong order), and a pair is right if the
    same one comes first in both sequences. Pairs are counted over all clips together.

    Parameters
    ----------
    references, hypotheses : sequence of sequence of hashable, length N
        True and decoded labels of each clip.

    Returns
    -------
    float
        Between 0 and 1; NaN where no clip has a pair. Kendall's tau over the pairs is twice this less one.

    Raises
    ------
    ParameterError
        If the numbers of sequences differ, or an entry is not a sequence.

    Examples
    --------
    Of the pairs (a, b), (a, c) and (b, c), the last is in the wrong order; d was not heard, and e is not
    there.

    >>> round(order_accuracy([["a", "b", "c", "d"]], [["a", "e", "c", "b"]]), 4)
    0.6667
    """
    right = total = 0
    for reference, hypothesis in zip(*check_sequences(references, hypotheses), strict=True):
        true = {occurrence: place for place, occurrence in enumerate(_numbered(reference))}
        # Matched occurrences in the order heard: their labels, and where they are in the reference.
        matched = [(o[0], true[o]) for o in _numbered(hypothesis) if o in true]
        for i, (label, place) in enumerate(matched):
            for other, later in matched[i + 1 :]:
                total += label != other
                right += label != other and place < later
    return right / total if total else float("nan")


def _numbered(labels: Sequence[Hashable]) -> list[tuple[Hashable, int]]:
    """Return each label with the number of times it came before."""
    seen: dict[Hashable, int] = {}
    result = []
    for label in labels:
        result.append((label, seen.get(label, 0)))
        seen[label] = seen.get(label, 0) + 1
    return result


def _edits(references: list[list[Hashable]], hypotheses: list[list[Hashable]]) -> npt.NDArray[np.int64]:
    """Return substitutions, deletions and insertions of each clip, shape (N, 3).

    The usual recursion, for all clips at once and a row of the table at a time. Costs are made of two digits:
    edits, and below them deletions + insertions, so that the minimum is unique. As deletions - insertions is
    the difference of the lengths, the two digits give all three counts.
    """
    numbers: dict[Hashable, int] = {}
    for sequence in (*references, *hypotheses):
        for label in sequence:
            numbers.setdefault(label, len(numbers))
    true, n_true = _padded(references, numbers, -1)
    heard, n_heard = _padded(hypotheses, numbers, -2)  # another number: padding never matches
    clips, columns = np.arange(len(references)), heard.shape[1] + 1

    digit = 1 + true.shape[1] + heard.shape[1]
    indel = digit + 1
    steps = indel * np.arange(columns)
    row = np.broadcast_to(steps, (len(clips), columns))  # the empty reference: insertions only
    cost = row[clips, n_heard]
    for i in range(true.shape[1]):
        best = row + indel  # a deletion
        substituted = row[:, :-1] + digit * (true[:, i, None] != heard)
        best[:, 1:] = np.minimum(best[:, 1:], substituted)
        # An insertion costs the same in every column, so chains of them are a running minimum.
        row = np.minimum.accumulate(best - steps, axis=1) + steps
        cost = np.where(n_true == i + 1, row[clips, n_heard], cost)
    indels = cost % digit
    deletions = (indels + n_true - n_heard) // 2
    return np.stack([cost // digit - indels, deletions, indels - deletions], axis=1)


def _padded(
    sequences: list[list[Hashable]], numbers: dict[Hashable, int], padding: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    padded = np.full((len(sequences), lengths.max(initial=0)), padding, dtype=np.int64)
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = [
        numbers[label] for sequence in sequences for label in sequence
    ]
    return padded, lengths
