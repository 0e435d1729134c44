"""Implementations that misbehave in every way that we could think of: none is a pass, none harms the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from own_backends import OwnBackends
from support import Completed


@pytest.fixture
def own(tmp_path: Path, schema: Any) -> OwnBackends:
    return OwnBackends(tmp_path, schema)


def test_the_right_function_that_all_these_spoil_passes(own: OwnBackends) -> None:
    found = own("return right(x, weight, bias, eps=eps)")
    assert (0, ["pass"], ["pass"]) == (found.code, found.verdicts("bad"), found.verdicts("numpy"))


# --- wrong results: FAIL, exit 1 ---------------------------------------------------------------------------

WRONG_RESULTS = {
    "zeros": ("return np.zeros_like(x)", "backward error"),
    "x itself": ("return x", "backward error"),
    "a copy of x": ("return x.copy()", "backward error"),
    "transposed": ("return right(x, weight, bias, eps=eps).T", "has shape (12, 16), expected (16, 12)"),
    "one sample, which would broadcast": ("return right(x, weight, bias, eps=eps)[:1]", "has shape (1, 12)"),
    "one channel, which would broadcast": (
        "return right(x, weight, bias, eps=eps)[:, :1]",
        "has shape (16, 1)",
    ),
    "an axis more": ("return right(x, weight, bias, eps=eps)[None]", "has shape (1, 16, 12)"),
    "flattened": ("return right(x, weight, bias, eps=eps).ravel()", "has shape (192,)"),
    "0-d": ("return x.dtype.type(0)", "has shape ()"),
    "0-d array": ("return np.zeros((), x.dtype)", "has shape ()"),
    "empty": ("return x[:0]", "has shape (0, 12)"),
    "float64": ("return right(x.astype('f8'), weight, bias, eps=eps)", "has dtype float64, expected float32"),
    "float16": ("return right(x, weight, bias, eps=eps).astype('f2')", "has dtype float16"),
    "int": ("return right(x, weight, bias, eps=eps).astype(int)", "has dtype int64"),
    "bool": ("return right(x, weight, bias, eps=eps) > 0", "has dtype bool"),
    "complex": ("return right(x, weight, bias, eps=eps).astype('c8')", "has dtype complex64"),
    "object": ("return right(x, weight, bias, eps=eps).astype(object)", "has dtype object"),
    "strings": ("return right(x, weight, bias, eps=eps).astype(str)", "has dtype str"),
    "records": ("return np.zeros(x.shape, [('a', 'f4')])", "has dtype void"),
    "NaN": ("return np.full_like(x, np.nan)", "is nan where the oracle has"),
    "infinity": ("return np.full_like(x, np.inf)", "is inf where the oracle has"),
    "None": ("return None", "was not returned"),
    "nothing": ("right(x, weight, bias, eps=eps)", "was not returned"),
    "a list": ("return right(x, weight, bias, eps=eps).tolist()", "is a list, not a numpy array"),
    "a tuple": ("return (right(x, weight, bias, eps=eps),)", "is a tuple"),
    "a tuple of three": ("return right(x, weight, bias, eps=eps), None, None", "is a tuple"),
    "a dict": ("return {'y': right(x, weight, bias, eps=eps)}", "is a dict"),
    "a float": ("return 0.5", "is a float"),
    "a generator": ("yield right(x, weight, bias, eps=eps)", "is a generator"),
    "the sample's rows in another order": ("return right(x, weight, bias, eps=eps)[::-1]", "backward error"),
    "without weight": ("return right(x, None, bias, eps=eps)", "backward error"),
    "without bias": ("return right(x, weight, None, eps=eps)", "backward error"),
    "without eps": ("return right(x, weight, bias, eps=0.0)", "backward error"),
    "eps ten times too small": ("return right(x, weight, bias, eps=eps / 10)", "backward error"),
    "the wrong sign": ("return -right(x, weight, bias, eps=eps)", "backward error"),
    "noise of a ten-thousandth": (
        "noise = np.sin(np.arange(x.size, dtype='f4')).reshape(x.shape)\n"
        "return right(x, weight, bias, eps=eps) + np.float32(1e-4) * noise",
        "backward error",
    ),
}


@pytest.mark.parametrize("name", WRONG_RESULTS)
def test_a_wrong_result_fails(own: OwnBackends, name: str) -> None:
    body, reason = WRONG_RESULTS[name]
    found = own(body)
    (result,) = found.of("bad")
    assert ("fail", 1) == (result["verdict"], found.code)
    assert reason in result["reason"]
    assert ["pass"] == found.verdicts("numpy")


def test_one_nan_fails_and_is_found(own: OwnBackends) -> None:
    found = own("y = right(x, weight, bias, eps=eps)\ny[3, 7] = np.nan\nreturn y")
    (result,) = found.of("bad")
    assert ("fail", 1, [3, 7], "nan") == (
        result["verdict"],
        result["mismatched"],
        result["worst"]["index"],
        result["worst"]["actual"],
    )


def test_one_wrong_element_fails_and_is_found(own: OwnBackends) -> None:
    found = own("y = right(x, weight, bias, eps=eps)\ny[15, 11] *= 1.001\nreturn y")
    (result,) = found.of("bad")
    assert ("fail", 1, 192, [15, 11]) == (
        result["verdict"],
        result["mismatched"],
        result["total"],
        result["worst"]["index"],
    )
    assert abs(result["worst"]["actual"] - result["worst"]["expected"]) == pytest.approx(
        result["max_abs_diff"], rel=1e-6
    )


@pytest.mark.parametrize("name", ["x", "weight", "bias"])
def test_changing_an_input_fails_though_the_result_is_right(own: OwnBackends, name: str) -> None:
    found = own(f"y = right(x, weight, bias, eps=eps)\n{name}[:] = 0\nreturn y")
    (result,) = found.of("bad")
    assert ("fail", f"the call changed its input {name}") == (result["verdict"], result["reason"])
    assert (1, ["pass"]) == (found.code, found.verdicts("numpy"))


def test_normalizing_in_place_fails(own: OwnBackends) -> None:
    found = own("x[:] = right(x, weight, bias, eps=eps)\nreturn x")
    (result,) = found.of("bad")
    assert ("fail", "the call changed its input x") == (result["verdict"], result["reason"])


def test_a_result_that_changes_from_call_to_call_fails(own: OwnBackends) -> None:
    found = own(
        "norm.calls = getattr(norm, 'calls', 0) + 1\n"
        "return right(x, weight, bias, eps=eps) * np.float32(1 + norm.calls % 2 * 1e-6)"
    )
    (result,) = found.of("bad")
    assert "fail" == result["verdict"]
    assert "differs when the same call is made twice" in result["reason"]


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        ("y, running_mean", "one of 2 values"),
        ("()", "one of 0 values"),
        ("None, None, None", "was not returned"),
        ("np.zeros_like(y), running_mean, running_var", "backward error"),
    ],
)
def test_batch_norm_that_returns_something_else_than_it_should_fails(
    own: OwnBackends, returned: str, reason: str
) -> None:
    body = f"y = x\nreturn {returned}"
    head = "def norm(x, weight, bias, *, eps, running_mean, running_var):"
    found = own(body, "--method", "batch", head=head)
    (result,) = found.of("bad")
    assert (1, "fail") == (found.code, result["verdict"])
    assert reason in result["reason"]


# --- no result: ERROR, CRASH or TIMEOUT, exit 4 -------------------------------------------------------------

NO_RESULTS = {
    "raises": ("raise ValueError('no such norm')", "error", "ValueError: no such norm"),
    "raises without a message": ("raise KeyError", "error", "KeyError"),
    "raises text that is no Unicode": ("raise ValueError('\\ud800')", "error", "ValueError"),
    "raises a bare BaseException": ("raise BaseException('odd')", "error", "BaseException: odd"),
    "raises KeyboardInterrupt": ("raise KeyboardInterrupt", "crash", "without an answer"),
    "recurses for ever": ("return norm(x, weight, bias, eps=eps)", "error", "RecursionError"),
    "asks for all memory": ("return np.zeros(2**46)", "error", "Memory"),
    "sys.exit(0)": ("sys.exit(0)", "error", "SystemExit: 0"),
    "os._exit(0)": ("os._exit(0)", "crash", "exited with code 0"),
    "os._exit(3)": ("os._exit(3)", "crash", "exited with code 3"),
    "os.abort()": ("os.abort()", "crash", "SIGABRT"),
    "segmentation fault": ("import ctypes\nctypes.string_at(0)", "crash", "SIGSEGV"),
    "kills itself": ("os.kill(os.getpid(), 9)", "crash", "SIGKILL"),
    "closes all files": (
        "os.closerange(3, 1000)\nreturn right(x, weight, bias, eps=eps)",
        "crash",
        "without an answer",
    ),
    "closes all files, stdin to stderr too": (
        "os.closerange(0, 1000)\nreturn right(x, weight, bias, eps=eps)",
        "crash",
        "without an answer",
    ),
    "writes junk to all open files": (
        "for fd in range(3, 200):\n"
        "    try:\n"
        "        os.write(fd, b'junk' * 100)\n"
        "    except OSError:\n"
        "        pass\n"
        "return right(x, weight, bias, eps=eps)",
        "error",
        "nonsense",
    ),
    "shuts the socket down": (
        "import socket\n"
        "for fd in range(3, 200):\n"
        "    try:\n"
        "        socket.socket(fileno=os.dup(fd)).shutdown(socket.SHUT_RDWR)\n"
        "    except OSError:\n"
        "        pass\n"
        "return right(x, weight, bias, eps=eps)",
        "crash",
        "without an answer",
    ),
}


FORGED = """
import socket
from normcheck.worker import frames
forged = {"kind": "result", "number": 1, "status": "ok", "seconds": 0.0, "absent": ["y"]}
forged.update({name: {} for name in ("problems", "errors")}, changed=[], nondeterministic=[], overwritten=[])
for fd in range(3, 200):
    try:
        frames.send(socket.socket(fileno=os.dup(fd)), forged)
    except OSError:
        pass
time.sleep(1000)
"""


def test_a_forged_answer_that_claims_to_have_no_output_fails(own: OwnBackends) -> None:
    found = own(FORGED)
    (result,) = found.of("bad")
    assert (1, "fail", "was not returned") == (found.code, result["verdict"], result["reason"])


@pytest.mark.parametrize("name", NO_RESULTS)
def test_no_result_is_never_a_pass(own: OwnBackends, name: str) -> None:
    body, verdict, reason = NO_RESULTS[name]
    found = own(body)
    (result,) = found.of("bad")
    assert (4, verdict) == (found.code, result["verdict"])
    assert reason in result["reason"]
    assert ["pass"] == found.verdicts("numpy")


HANGS = {
    "sleeps": "time.sleep(1000)",
    "spins": "while True: pass",
    "will not be terminated": "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(1000)",
}


@pytest.mark.parametrize("body", HANGS.values(), ids=HANGS)
def test_a_hang_is_a_timeout(own: OwnBackends, body: str) -> None:
    found = own(body, "--timeout", 2)
    (result,) = found.of("bad")
    assert (4, "timeout", "gave no answer within 2 s, computing") == (
        found.code,
        result["verdict"],
        result["reason"],
    )
    assert ["pass"] == found.verdicts("numpy")


def test_a_hang_at_import_is_a_timeout(own: OwnBackends) -> None:
    own.write("time.sleep(1000)\n", "slow.py")
    found = own.compare("bad=numpy:slow.py:norm", "--timeout", 1)
    (result,) = found.of("bad")
    assert (4, "timeout") == (found.code, result["verdict"])
    assert "loading the target" in result["reason"]
    assert ["pass"] == found.verdicts("numpy")


def test_a_death_at_import_is_a_crash(own: OwnBackends) -> None:
    own.write("os._exit(0)\n", "dies.py")
    found = own.compare("bad=numpy:dies.py:norm")
    assert (4, ["crash"], ["pass"]) == (found.code, found.verdicts("bad"), found.verdicts("numpy"))


# --- noise: no harm ----------------------------------------------------------------------------------------


def test_megabytes_of_junk_on_stdout_and_stderr_do_no_harm(own: OwnBackends) -> None:
    found = own(
        "for _ in range(64):\n"
        "    print('junk' * 2**14)\n"
        "    print('trash' * 2**14, file=sys.stderr)\n"
        "print('the end')\n"
        "return right(x, weight, bias, eps=eps)"
    )
    (result,) = found.of("bad")
    assert (0, "pass") == (found.code, result["verdict"])
    assert 0 < len(result["stderr"]) <= 2**14
    assert "the end" in result["stderr"]


def test_junk_written_below_python_does_no_harm(own: OwnBackends) -> None:
    found = own(
        "os.write(1, b'NCF1\\x00\\x00\\x00\\x02{}')\n"
        "os.write(2, b'\\xff\\xfe\\x00')\n"
        "return right(x, weight, bias, eps=eps)"
    )
    assert (0, ["pass"]) == (found.code, found.verdicts("bad"))


def test_what_it_printed_before_it_died_is_kept(own: OwnBackends) -> None:
    found = own("print('last words', file=sys.stderr, flush=True)\nos.abort()")
    (result,) = found.of("bad")
    assert "last words" in result["stderr"]


def test_the_traceback_is_the_users_and_nothing_of_ours(own: OwnBackends) -> None:
    own.write("def helper(x):\n    raise ValueError('deep down')\n", "helper.py")
    found = own("import helper\nreturn helper.helper(x)")
    (result,) = found.of("bad")
    assert "deep down" in result["stderr"]
    assert "norm.py" in result["stderr"]
    assert "helper.py" in result["stderr"]
    assert "normcheck/worker" not in result["stderr"]


def test_closed_standard_streams_do_no_harm(own: OwnBackends) -> None:
    found = own("sys.stdout.close()\nsys.stderr.close()\nreturn right(x, weight, bias, eps=eps)")
    assert (0, ["pass"]) == (found.code, found.verdicts("bad"))


def test_another_directory_environment_and_argv_do_no_harm(own: OwnBackends) -> None:
    found = own(
        "os.chdir('/')\nos.environ.clear()\nsys.argv.clear()\nsys.path.clear()\nreturn right(x, weight, bias, eps=eps)"
    )
    assert (0, ["pass"]) == (found.code, found.verdicts("bad"))


# --- deaths and restarts -----------------------------------------------------------------------------------

THREE_CASES = ["--fixture", "nc", "--fixture", "ncl", "--fixture", "image", "--normalized-ndim", 1]
LAST_AXIS = """
axes = -1
d = x - x.mean(-1, keepdims=True)
return d / np.sqrt(np.square(d).mean(-1, keepdims=True) + np.float32(eps)) * weight + bias
"""


def test_a_death_costs_its_own_case_alone(own: OwnBackends) -> None:
    """It dies on the second of three cases; the worker is started again for the third."""
    found = own("if x.ndim == 3:\n    os._exit(0)" + LAST_AXIS, *THREE_CASES)
    assert (4, ["pass", "crash", "pass"]) == (found.code, found.verdicts("bad"))
    assert ["pass"] * 3 == found.verdicts("numpy")


def test_a_hang_costs_its_own_case_alone(own: OwnBackends) -> None:
    found = own("if x.ndim == 3:\n    time.sleep(1000)" + LAST_AXIS, *THREE_CASES, "--timeout", 2)
    assert (4, ["pass", "timeout", "pass"]) == (found.code, found.verdicts("bad"))
    assert ["pass"] * 3 == found.verdicts("numpy")


def test_an_exception_costs_its_own_case_alone(own: OwnBackends) -> None:
    found = own("if x.ndim == 3:\n    raise ValueError" + LAST_AXIS, *THREE_CASES)
    assert (4, ["pass", "error", "pass"]) == (found.code, found.verdicts("bad"))


def test_after_three_deaths_the_rest_is_error(own: OwnBackends) -> None:
    options = ["--fixture", "core", "--method", "layer"]
    found = own("os._exit(0)", *options)
    verdicts = found.verdicts("bad")
    assert len(verdicts) > 4
    assert ["crash"] * 3 + ["error"] * (len(verdicts) - 3) == verdicts
    assert "its worker died 3 times before" in found.of("bad")[-1]["reason"]
    assert {"pass"} == set(found.verdicts("numpy"))
    assert 4 == found.code


def test_a_mismatch_outweighs_a_crash(own: OwnBackends) -> None:
    found = own("if x.ndim == 3:\n    os._exit(0)\nreturn x", *THREE_CASES)
    assert (1, ["fail", "crash", "fail"]) == (found.code, found.verdicts("bad"))


def test_a_child_that_it_leaves_behind_does_not_hold_up_the_run(own: OwnBackends) -> None:
    found = own(
        "import subprocess\nsubprocess.Popen(['sleep', '1000'])\nreturn right(x, weight, bias, eps=eps)"
    )
    assert (0, ["pass"]) == (found.code, found.verdicts("bad"))


# --- targets that cannot be loaded: exit 3, one line, the user's traceback ------------------------------------


def refused(run: Callable[..., Completed], target: str) -> Completed:
    done = run("compare", "--method", "layer", "--fixture", "nc", "--backend", "numpy", "--backend", target)
    assert (3, "") == (done.returncode, done.stdout)
    assert done.stderr.splitlines()[-1].startswith("normcheck: backend ")
    return done


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("numpy:absent.py:norm", "no such file: absent.py"),
        ("numpy:norm.py:nrom", "has no attribute 'nrom'; callable in it: "),
        ("numpy:norm.py:right.left", "has no attribute 'right.left'"),
        ("numpy:norm.py:np.pi", "is a float, not a function"),
        ("numpy:no.such.package:norm", "No module named 'no'"),
    ],
)
def test_a_target_that_is_not_there_is_one_line(
    run: Callable[..., Completed], own: OwnBackends, target: str, message: str
) -> None:
    own.write("def norm(x, weight, bias, *, eps): return x\n")
    done = refused(run, target)
    assert message in done.stderr
    assert "normcheck/" not in done.stderr
    if target != "numpy:no.such.package:norm":
        assert 1 == len(done.stderr.splitlines())


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise ValueError('at import')", "ValueError: at import"),
        ("import no_such_module", "No module named 'no_such_module'"),
        ("def norm(:", "SyntaxError"),
        ("sys.exit(0)", "SystemExit: 0"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ],
)
def test_a_target_that_raises_at_import_shows_the_users_traceback_alone(
    run: Callable[..., Completed], own: OwnBackends, source: str, message: str
) -> None:
    own.write(source + "\n")
    done = refused(run, "numpy:norm.py:norm")
    assert message in done.stderr.splitlines()[-1]
    assert "norm.py" in done.stderr
    assert "/normcheck/worker" not in done.stderr
    assert "importlib" not in done.stderr
