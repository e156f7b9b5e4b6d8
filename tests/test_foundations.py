"""The ground floor: checks, kernels' cache, threads, numerics, the gradient checker, and cheap imports."""

import os
import re
import subprocess
import sys
import textwrap
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import special

import ctctag
from ctctag import _checks, _threads, numerics
from ctctag.exceptions import AudioError, CtctagError, DataError, ModelError, ParameterError
from ctctag.gradcheck import GradientError, check_gradients, check_layer


def run_python(code, **environment):
    """Run a script in a fresh interpreter and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# Importing


def test_import_loads_nothing_heavy():
    code = """
        import sys, ctctag
        print(sorted({"numba", "scipy", "soundfile", "torch", "matplotlib"} & set(sys.modules)))
        dir(ctctag)
        print("numpy" in sys.modules, "numba" in sys.modules)
    """
    assert run_python(code) == "[]\nFalse False"


def test_names_are_handed_on():
    assert ctctag.ParameterError is ParameterError
    assert ctctag.numerics is numerics
    assert {"Tagger", "ctc", "set_num_threads"} <= set(dir(ctctag))
    with pytest.raises(AttributeError, match="module 'ctctag' has no attribute 'tager'"):
        _ = ctctag.tager


def test_one_root_catches_every_error():
    for error in (ParameterError, AudioError, DataError, ModelError, GradientError):
        assert issubclass(error, CtctagError)
    assert issubclass(ParameterError, ValueError)
    assert issubclass(GradientError, AssertionError)


# Checks: each refusal by its whole message


def within_itself():
    rows = []
    rows.append(rows)
    return rows


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: _checks.check_integer(1.0, "n"), "n must be an integer, got 1.0"),
        (lambda: _checks.check_integer(True, "n"), "n must be an integer, got True"),
        (lambda: _checks.check_integer("1", "n"), "n must be an integer, got '1'"),
        (lambda: _checks.check_integer(0, "n", low=1), "n must be at least 1, got 0"),
        (lambda: _checks.check_integer(9, "n", low=1, high=8), "n must be at least 1 and at most 8, got 9"),
        (lambda: _checks.check_number("x", "p"), "p must be a number, got 'x'"),
        (lambda: _checks.check_number(np.nan, "p"), "p must be finite, got nan"),
        (lambda: _checks.check_number(2, "p", high=1), "p must be at most 1, got 2"),
        (lambda: _checks.check_number(0, "p", low=0, exclude_low=True), "p must be above 0, got 0"),
        (
            lambda: _checks.check_number(1, "p", low=0, high=1, exclude_high=True),
            "p must be at least 0 and below 1, got 1",
        ),
        (lambda: _checks.check_choice("c", "way", ("a", "b")), "way must be one of 'a', 'b', got 'c'"),
        (lambda: _checks.check_choice(["a"], "way", ("a", "b")), "way must be one of 'a', 'b', got ['a']"),
        (
            lambda: _checks.check_float_array([[1], [2, 3]], "x"),
            "x must be one rectangular array, got rows of different lengths "
            "(pad them, and pass their lengths)",
        ),
        (
            lambda: _checks.check_float_array(within_itself(), "x"),
            "x is nested too deeply for an array (a list within itself?)",
        ),
        (lambda: _checks.check_float_array(["a"], "x"), "x must hold real numbers, got dtype <U1"),
        (lambda: _checks.check_float_array([1j], "x"), "x must hold real numbers, got dtype complex128"),
        (lambda: _checks.check_float_array([1], "x", (None, 3)), "x must have shape (any, 3), got (1,)"),
        (lambda: _checks.check_float_array([[1]], "x", ("T",)), "x must have shape (T,), got (1, 1)"),
        (
            lambda: _checks.check_finite(np.array([[1, 2], [-np.inf, np.nan]]), "x"),
            "x[1, 0] is -inf, but every value must be finite",
        ),
        (
            lambda: _checks.check_lengths([1, 2], "lengths", 3, 5),
            "lengths must have shape (3,), one length for each clip, got (2,)",
        ),
        (
            lambda: _checks.check_lengths([1.0], "lengths", 1, 5),
            "lengths must hold integers, got dtype float64",
        ),
        (lambda: _checks.check_lengths([1, 6], "lengths", 2, 5), "lengths[1] is 6, but must lie in [1, 5]"),
        (lambda: _checks.check_lengths([0], "lengths", 1, 5), "lengths[0] is 0, but must lie in [1, 5]"),
    ],
)
def test_checks_refuse(call, message):
    with pytest.raises(ParameterError) as caught:
        call()
    assert str(caught.value) == message


def test_checks_return_what_they_checked():
    number = _checks.check_integer(np.int32(4), "n", low=4, high=4)
    assert (number, type(number)) == (4, int)
    assert _checks.check_number("0.5", "p", low=0, high=0.5) == 0.5
    assert _checks.check_choice("b", "way", ("a", "b")) == "b"
    assert _checks.check_float_array([True, False], "x").dtype == np.float64
    kept = np.ones((2, 3), np.float32)
    assert _checks.check_float_array(kept, "x", ("T", 3)) is kept
    assert _checks.check_lengths(None, "lengths", 2, 5).tolist() == [5, 5]
    lengths = _checks.check_lengths(np.array([0, 5], np.uint8), "lengths", 2, 5, shortest=0)
    assert (lengths.tolist(), lengths.dtype) == ([0, 5], np.int64)


# Kernels and their cache on disk

KERNEL = """
from ctctag._jit import jit

@jit
def double(x):
    return 2 * x
"""

CALL = """
    import logging, sys
    logging.basicConfig(level=logging.INFO, format="%(name)s %(message)s", stream=sys.stderr)
    sys.path.insert(0, {folder!r})
    from kernel import double
    assert double(21) == 42
    print(type(double._cache).__name__, sum(double.stats.cache_hits.values()))
"""


@pytest.fixture
def kernel_folder(tmp_path):
    (tmp_path / "kernel.py").write_text(KERNEL)
    return tmp_path


def test_cache_is_used(kernel_folder):
    code = CALL.format(folder=str(kernel_folder))
    cache = str(kernel_folder / "cache")
    assert run_python(code, NUMBA_CACHE_DIR=cache, NUMBA_DISABLE_JIT="0") == "_ForgivingCache 0"
    assert run_python(code, NUMBA_CACHE_DIR=cache, NUMBA_DISABLE_JIT="0") == "_ForgivingCache 1"


def test_cache_notices_a_changed_callee_next_door(kernel_folder):
    (kernel_folder / "_callee.py").write_text(KERNEL.replace("2 * x", "3 * x"))
    (kernel_folder / "kernel.py").write_text(
        KERNEL.replace("@jit", "from _callee import double as inner\n\n@jit").replace("2 * x", "inner(x)")
    )
    code = CALL.format(folder=str(kernel_folder)).replace("double(21) == 42", "double(14) == {}")
    environment = {"NUMBA_CACHE_DIR": str(kernel_folder / "cache"), "NUMBA_DISABLE_JIT": "0"}
    run_python(code.format(42), **environment)
    assert run_python(code.format(42), **environment) == "_ForgivingCache 1"
    (kernel_folder / "_callee.py").write_text(KERNEL.replace("2 * x", "30 * x"))
    assert run_python(code.format(420), **environment) == "_ForgivingCache 0"


def test_no_place_for_the_cache(kernel_folder):
    """Every place Numba would try is a file, not a folder: that stops root, too."""
    blocked = kernel_folder / "blocked"
    blocked.touch()
    (kernel_folder / "__pycache__").touch()
    environment = dict.fromkeys(
        ("NUMBA_CACHE_DIR", "HOME", "XDG_CACHE_HOME", "LOCALAPPDATA", "IPYTHONDIR"), str(blocked)
    )
    code = CALL.format(folder=str(kernel_folder))
    assert run_python(code, **environment, NUMBA_DISABLE_JIT="0") == "NullCache 0"


@pytest.mark.parametrize("content", [b"", None])
@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
def test_broken_cache_is_made_anew(kernel_folder, suffix, content):
    code = CALL.format(folder=str(kernel_folder))
    cache = kernel_folder / "cache"
    environment = {"NUMBA_CACHE_DIR": str(cache), "NUMBA_DISABLE_JIT": "0"}
    run_python(code, **environment)
    files = list(cache.rglob(f"*.{suffix}"))
    assert files
    for file in files:
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2] if content is None else content)
    run_python(code, **environment)
    assert run_python(code, **environment) == "_ForgivingCache 1"  # whole again


def test_cache_folder_vanishes(kernel_folder):
    code = CALL.format(folder=str(kernel_folder)).replace(
        "from kernel import double",
        "from kernel import double; import shutil; shutil.rmtree({cache!r}); open({cache!r}, 'w').close()",
    )
    cache = str(kernel_folder / "cache")
    code = code.replace("{cache!r}", repr(cache))
    run_python(code, NUMBA_CACHE_DIR=cache, NUMBA_DISABLE_JIT="0")


def test_without_jit_a_kernel_is_plain_python(kernel_folder):
    code = f"""
        import sys
        sys.path.insert(0, {str(kernel_folder)!r})
        from kernel import double
        print(type(double).__name__, double("ab"))
    """
    assert run_python(code, NUMBA_DISABLE_JIT="1") == "function abab"


# Threads


@pytest.fixture
def num_threads():
    before = ctctag.get_num_threads()
    yield ctctag.set_num_threads
    ctctag.set_num_threads(before)


@pytest.mark.parametrize("number", [1, 2, 8])
def test_every_task_is_run_once(num_threads, number):
    num_threads(number)
    done = np.zeros(1000, int)

    def task(i):
        done[i] += 1

    _threads.run_tasks(task, range(1000))
    assert (done == 1).all()
    _threads.run_tasks(task, [])
    assert (done == 1).all()


def test_one_thread_takes_tasks_in_order(num_threads):
    num_threads(1)
    seen = []
    _threads.run_tasks(seen.append, [3, 1, 2])
    assert seen == [3, 1, 2]


def test_as_many_threads_as_allowed_and_no_more(num_threads):
    num_threads(3)
    names, together = set(), threading.Barrier(3, timeout=600)  # breaks where there are fewer

    def task(_):
        names.add(threading.get_ident())
        together.wait()

    _threads.run_tasks(task, range(60))
    assert len(names) == 3


@pytest.mark.parametrize(("number", "most"), [(1, 6), (4, 9)])
def test_an_error_is_raised_here_and_stops_the_rest(num_threads, monkeypatch, number, most):
    """Those that are at work meanwhile end their task, and begin no other."""
    num_threads(number)
    begun, noted = [], threading.Event()

    class Inside(threading.local):
        def __setattr__(self, name, value):
            super().__setattr__(name, value)
            if not value:  # the thread that failed has noted its error, and leaves
                noted.set()

    monkeypatch.setattr(_threads, "_inside", Inside())

    def task(i):
        begun.append(i)
        if i == 5:
            raise KeyError("task 5")
        if i > 5:
            noted.wait()

    with pytest.raises(KeyError, match="task 5"):
        _threads.run_tasks(task, range(500))
    assert 6 <= len(begun) <= most
    after = []
    _threads.run_tasks(after.append, range(20))  # and the pool still works
    assert sorted(after) == list(range(20))


def test_tasks_may_have_tasks(num_threads):
    num_threads(4)
    done = np.zeros((6, 7), int)

    def outer(i):
        me = threading.get_ident()

        def inner(j):
            assert threading.get_ident() == me  # in place, so that a full pool cannot wait for itself
            done[i, j] += 1

        _threads.run_tasks(inner, range(7))

    _threads.run_tasks(outer, range(6))
    assert (done == 1).all()


def test_eight_python_threads_at_once(num_threads):
    num_threads(4)
    done = np.zeros((8, 200), int)
    failures = []

    def caller(i):
        try:
            for number in (2, 5, 8, 3, 4):  # the bound, and so the pool, changes meanwhile
                num_threads(number)
                _threads.run_tasks(lambda j: done[i].__setitem__(j, done[i, j] + 1), range(200))
        except Exception as error:
            failures.append(error)

    callers = [threading.Thread(target=caller, args=(i,)) for i in range(8)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    assert not failures
    assert (done == 5).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_a_pool_of_its_own():
    code = """
        import os, sys, warnings
        from ctctag import _threads
        _threads.set_num_threads(4)
        total = []
        _threads.run_tasks(total.append, range(50))
        with _threads.single_threaded_blas():
            warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads: just what is tested
            child = os.fork()
            if child == 0:
                _threads.run_tasks(total.append, range(50))
                with _threads.single_threaded_blas():
                    pass
                os._exit(len(total) - 100)
            _, status = os.waitpid(child, 0)
        _threads.run_tasks(total.append, range(50))
        print(os.waitstatus_to_exitcode(status), len(total))
    """
    assert run_python(code) == "0 100"


@pytest.mark.parametrize("value", [0, -1, 1.5, "two", None, float("nan")])
def test_wrong_numbers_of_threads(value):
    before = ctctag.get_num_threads()
    message = f"num_threads must be a whole number of at least 1, got {value!r}"
    with pytest.raises(ParameterError, match=re.escape(message)):
        ctctag.set_num_threads(value)
    assert ctctag.get_num_threads() == before


def test_number_of_threads_from_the_environment():
    code = "import ctctag; print(ctctag.get_num_threads())"
    assert run_python(code, CTCTAG_NUM_THREADS="3") == "3"
    assert int(run_python(code, CTCTAG_NUM_THREADS="")) >= 1
    wrong = """
        import ctctag
        try:
            ctctag.get_num_threads()
        except ctctag.ParameterError as error:
            print(error)
    """
    expected = "CTCTAG_NUM_THREADS must be a whole number of at least 1, got 'many'"
    assert run_python(wrong, CTCTAG_NUM_THREADS="many") == expected


def blas_threads():
    return [get() for get, _ in _threads._blas.find()]


@pytest.fixture
def blas_of_three():
    """Give every BLAS library three threads, so that "one" and "restored" differ on any machine."""
    before = blas_threads()
    if not before:
        pytest.skip("this NumPy carries no OpenBLAS")
    for _, put in _threads._blas.find():
        put(3)
    wanted = blas_threads()
    yield wanted
    for (_, put), number in zip(_threads._blas.find(), before, strict=True):
        put(number)


def test_blas_is_held_to_one_thread_and_restored(blas_of_three):
    with _threads.single_threaded_blas():
        assert set(blas_threads()) == {1}
        with _threads.single_threaded_blas():
            assert set(blas_threads()) == {1}
        assert set(blas_threads()) == {1}
    assert blas_threads() == blas_of_three
    with pytest.raises(KeyError), _threads.single_threaded_blas():
        raise KeyError("inside")
    assert blas_threads() == blas_of_three


def test_blas_entered_by_many_threads(blas_of_three):
    wrong = []

    def user():
        for _ in range(50):
            with _threads.single_threaded_blas():
                if set(blas_threads()) != {1}:
                    wrong.append(blas_threads())

    users = [threading.Thread(target=user) for _ in range(8)]
    for thread in users:
        thread.start()
    for thread in users:
        thread.join()
    assert not wrong
    assert blas_threads() == blas_of_three


# Numerics, against SciPy

LOGS = arrays(
    np.float64, (3, 4), elements=st.one_of(st.floats(-1e3, 1e3), st.just(-np.inf), st.floats(-1, 1))
)


@given(x=LOGS, y=LOGS)
def test_log_sums_equal_scipy(x, y):
    for axis in (0, 1, -1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = special.logsumexp(x, axis=axis)
            kept = special.logsumexp(x, axis=axis, keepdims=True)
        np.testing.assert_allclose(numerics.log_sum_exp(x, axis=axis), expected, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(numerics.log_sum_exp(x, axis, keepdims=True), kept, rtol=1e-12, atol=1e-12)
    stacked = special.logsumexp(np.stack([x, y]), axis=0) if np.isfinite(np.stack([x, y])).all() else None
    if stacked is not None:
        np.testing.assert_allclose(numerics.log_add(x, y), stacked, rtol=1e-12, atol=1e-12)


@given(x=LOGS)
def test_softmax_equals_scipy(x):
    x[:, 0] = np.maximum(x[:, 0], -500)  # not every class is impossible
    np.testing.assert_allclose(numerics.softmax(x), special.softmax(x, axis=-1), rtol=1e-12, atol=1e-300)
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(
            numerics.log_softmax(x), special.log_softmax(x, axis=-1), rtol=1e-12, atol=1e-12
        )
    np.testing.assert_allclose(numerics.softmax(x).sum(axis=-1), 1, rtol=1e-14)


@given(x=arrays(np.float64, 5, elements=st.floats(-800, 800)))
def test_sigmoid_equals_scipy(x):
    np.testing.assert_allclose(numerics.sigmoid(x), special.expit(x), rtol=1e-13, atol=1e-300)
    np.testing.assert_allclose(numerics.log_sigmoid(x), special.log_expit(x), rtol=1e-13)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_minus_infinity_is_a_probability_of_zero(dtype):
    """No NaN, no warning, and the dtype that came."""
    nothing = np.full(3, -np.inf, dtype)
    some = np.array([-np.inf, 0, 0], dtype)
    results = {
        "add": (numerics.log_add(nothing, nothing), nothing),
        "sum": (numerics.log_sum_exp(nothing), dtype(-np.inf)),
        "log_softmax": (numerics.log_softmax(some), np.array([-np.inf, -np.log(2), -np.log(2)], dtype)),
        "softmax": (numerics.softmax(some), np.array([0, 0.5, 0.5], dtype)),
        "sigmoid": (numerics.sigmoid(np.array([-np.inf, np.inf], dtype)), np.array([0, 1], dtype)),
        "log_sigmoid": (
            numerics.log_sigmoid(np.array([-np.inf, np.inf], dtype)),
            np.array([-np.inf, 0], dtype),
        ),
    }
    for name, (result, expected) in results.items():
        assert result.dtype == dtype, name
        np.testing.assert_allclose(result, expected, rtol=1e-3, err_msg=name)


# The gradient checker

X = np.random.default_rng(0).standard_normal((3, 4))


def test_a_right_gradient_passes_and_arrays_are_restored(capsys):
    x = X.copy()
    report = check_gradients(lambda: float((x**3).sum()), {"x": x}, {"x": 3 * x**2})
    assert report.ok
    assert report.max_relative_error < 1e-6
    assert len(report.checks) == 3
    np.testing.assert_array_equal(x, X)
    printed = capsys.readouterr().out
    assert printed.count(" ok\n") == 3
    assert f"{report.checks[0].analytic:.9e}" in printed
    assert f"{report.checks[0].numeric:.9e}" in printed


@pytest.mark.parametrize(
    "wrong",
    [
        3 * X**2 * (1 + 1e-4),
        3 * X**2 + 1e-3 * (np.arange(12).reshape(3, 4) == 5),
        np.zeros_like(X),
        -3 * X**2,
    ],
)
def test_a_wrong_gradient_is_caught(wrong):
    x = X.copy()
    with pytest.raises(GradientError, match="gradients disagree with centred differences") as caught:
        check_gradients(lambda: float((x**3).sum()), {"x": x}, {"x": wrong}, verbose=False)
    assert "WRONG" in str(caught.value)
    report = check_gradients(lambda: float((x**3).sum()), {"x": x}, {"x": wrong}, verbose=False, raises=False)
    assert not report.ok
    assert report.max_relative_error > 1e-6
    np.testing.assert_array_equal(x, X)


def test_arrays_are_restored_when_the_function_fails():
    x = X.copy()

    def fails():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        check_gradients(fails, {"x": x}, {"x": x})
    np.testing.assert_array_equal(x, X)


def test_a_gradient_of_zero_passes():
    x = X.copy()
    assert check_gradients(lambda: 1.0, {"x": x}, {"x": np.zeros_like(x)}, verbose=False).ok


READ_ONLY = X.copy()
READ_ONLY.flags.writeable = False


@pytest.mark.parametrize(
    ("arrays_", "gradients", "options", "message"),
    [
        (
            {"x": X},
            {"y": X},
            {},
            "arrays and gradients must have the same names, but only one has ['x', 'y']",
        ),
        (
            {"x": X.astype(np.float32)},
            {"x": X},
            {},
            "arrays['x'] is float32, but differences need float64 (build the layer with dtype=np.float64)",
        ),
        ({"x": READ_ONLY}, {"x": X}, {}, "arrays['x'] is read-only, but must be changed in place"),
        ({"x": X}, {"x": X[0]}, {}, "gradients['x'] has shape (4,), but arrays['x'] has (3, 4)"),
        ({"x": X}, {"x": X}, {"step": 0}, "step must be above 0, got 0"),
        ({"x": X}, {"x": X}, {"directions": 0}, "directions must be at least 1, got 0"),
    ],
)
def test_the_checker_refuses(arrays_, gradients, options, message):
    with pytest.raises(ParameterError, match=re.escape(message)):
        check_gradients(lambda: 0.0, arrays_, gradients, **options)


class Scale:
    """y = weight * x + calls / 10: a layer that changes its state in every call."""

    def __init__(self, factor=1.0):
        self.params = {"weight": np.array([2.0, 3.0])}
        self.state = {"calls": np.zeros(1)}
        self.factor = factor

    def forward(self, x, *, lengths=None, training=False):
        self.state["calls"] += 1
        return x * self.params["weight"] + self.state["calls"] / 10, x

    def backward(self, dy, cache):
        return dy * self.params["weight"], {"weight": self.factor * (dy * cache).sum(axis=0)}


def test_layers_are_checked_with_their_state_put_back():
    layer = Scale()
    report = check_layer(layer, X[:, :2], verbose=False)
    assert report.ok
    assert {check.name for check in report.checks} == {"x", "weight"}
    with pytest.raises(GradientError, match=r"weight .* WRONG"):
        check_layer(Scale(factor=1.01), X[:, :2], verbose=False)


def test_layers_must_give_a_gradient_for_each_parameter():
    layer = Scale()
    layer.params["bias"] = np.zeros(2)
    message = "backward gave gradients for ['weight'], not for ['bias', 'weight']"
    with pytest.raises(ParameterError, match=re.escape(message)):
        check_layer(layer, X[:, :2])


def test_the_package_is_typed():
    assert (Path(ctctag.__file__).parent / "py.typed").exists()
