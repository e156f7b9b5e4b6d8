"""CTC of random shapes, kinds and values against the textbook: ``python fuzz_ctc.py CASES [SEED]``.

Each case is a batch of its own seed: loss, gradient, alignment, best path, tag probabilities and, now and
then, the lattice and the beam, against `ctctag.reference`. A run prints a row of the table in docs/proof.md.
"""

import itertools
import sys
import time

import numpy as np

from ctctag import ctc
from ctctag.exceptions import ParameterError
from ctctag.numerics import log_softmax, softmax
from ctctag.reference import collapse, ctc_lattice_numpy, ctc_loss_and_grad_numpy, ctc_viterbi

KINDS = ("logits", "log_probs", "probs")


def draw(seed):
    """Return inputs, targets, lengths, blank, kind, and the log-probabilities that the inputs stand for."""
    rng = np.random.default_rng([seed, 20])
    N, C = int(rng.choice([1, 1, 2, 3, 9])), int(rng.choice([1, 2, 3, 5, 8, 9, 17, 33]))
    kind, dtype = KINDS[rng.integers(3)], rng.choice(["float32", "float64"])
    blank, longest = int(rng.integers(C)), int(rng.choice([0, 1, 2, 3, 7, 8, 9, 16, 17, 25]))
    labels = np.delete(np.arange(C), blank)
    targets = [rng.choice(labels, rng.integers(longest + 1)).tolist() if C > 1 else [] for _ in range(N)]
    needed = [len(t) + sum(a == b for a, b in itertools.pairwise(t)) for t in targets]
    lengths = np.maximum(1, np.array(needed) + rng.choice([-1, 0, 0, 1, 2, 7, 20], N))
    logits = rng.choice([0.0, 0.1, 3.0, 12.0]) * rng.standard_normal((N, int(lengths.max()), C))
    if rng.random() < 0.1 and C > 1:  # some classes are impossible, one never is
        logits[rng.random(logits.shape) < 0.2] = -np.inf
        logits[..., int(rng.integers(C))] = 0.0
    x = {"logits": lambda z: z, "log_probs": log_softmax, "probs": softmax}[kind](logits).astype(dtype)
    exact = x.astype(np.float64)
    with np.errstate(divide="ignore"):
        log_y = {"logits": log_softmax, "log_probs": lambda z: z, "probs": np.log}[kind](exact)
    for n in range(N):
        x[n, lengths[n] :] = np.nan
    return x, targets, lengths, blank, kind, [log_y[n, :length] for n, length in enumerate(lengths)]


def check(seed):
    """Raise AssertionError if anything about the batch of this seed is not what the textbook says."""
    x, targets, lengths, blank, kind, log_y = draw(seed)
    options = {"blank": blank, "inputs_are": kind}
    loose = {"rtol": 1e-5, "atol": 1e-5} if x.dtype == np.float32 else {"rtol": 1e-9, "atol": 1e-9}
    losses, grads = ctc.ctc_loss_and_grad(x, targets, lengths, reduction="none", **options)
    paths = ctc.best_path(x, lengths, **options)
    probs = ctc.tag_probs(x, lengths, inputs_are=kind)
    best = [ctc_viterbi(rows.tolist(), target, blank) for rows, target in zip(log_y, targets, strict=True)]
    try:
        found = ctc.align(x, targets, lengths, **options)
    except ParameterError:
        assert min(score for score, _ in best) == -np.inf
    else:
        for (score, _), alignment, target in zip(best, found, targets, strict=True):
            np.testing.assert_allclose(alignment.score, score, **loose)
            assert list(collapse(alignment.path.tolist(), blank)) == target
    for n, rows in enumerate(log_y):
        loss, by_log_y = ctc_loss_and_grad_numpy(rows, targets[n], blank)
        np.testing.assert_allclose(losses[n], loss, **loose)
        y = np.exp(rows)
        if np.isfinite(loss):
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                wanted = {"logits": y + by_log_y, "log_probs": by_log_y, "probs": by_log_y / y}[kind]
            sure = y > 0  # the derivative by a probability of zero has no occupancy to be read from
            np.testing.assert_allclose(grads[n, : len(rows)][sure], wanted[sure], **loose)
        else:
            assert not grads[n].any()
        assert not grads[n, len(rows) :].any()
        assert paths[n].labels.tolist() == list(collapse(x[n, : len(rows)].argmax(axis=1).tolist(), blank))
        np.testing.assert_allclose(probs[n], 1 - np.prod(1 - y, axis=0), **loose)
    if seed % 5 == 0:
        alpha, beta, _ = ctc_lattice_numpy(log_y[0], targets[0], blank)
        trellis = ctc.lattice(x[0, : lengths[0]], targets[0], **options)
        np.testing.assert_allclose(trellis.alpha, alpha, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(trellis.beta, beta, rtol=1e-9, atol=1e-9)
        for decoded in ctc.beam_search(x[0, : lengths[0]], beam_width=3, n_best=2, **options):
            loss, _ = ctc_loss_and_grad_numpy(log_y[0], decoded.labels, blank)
            np.testing.assert_allclose(decoded.score, -loss, **loose)


def main(cases, seed=0):
    started, wrong = time.perf_counter(), []
    for case in range(seed, seed + cases):
        try:
            check(case)
        except Exception as error:
            wrong.append(case)
            print(f"seed {case}: {type(error).__name__}: {str(error)[:300]}", flush=True)
    print(f"| CTC | {cases} | {seed} | {len(wrong)} | {time.perf_counter() - started:.0f} s |")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
