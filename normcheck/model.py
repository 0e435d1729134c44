"""What normcheck talks about: cases, comparisons, reports. Frozen data, standard library only.

Every other module imports this one and it imports none of them, so that a report can be read, and a
command line parsed, without NumPy or any framework.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DEFAULT_EPS = 1e-5
DEFAULT_MOMENTUM = 0.1
EXPECTED = "expected"  # the name under which a fixture's own expected values are compared


class Method(enum.StrEnum):
    """A normalization method: which elements share one mean and one variance."""

    BATCH = "batch"
    LAYER = "layer"
    INSTANCE = "instance"
    GROUP = "group"


class Mode(enum.StrEnum):
    """Whether batch norm takes its statistics from the batch or from the running statistics."""

    TRAIN = "train"
    EVAL = "eval"


class Layout(enum.StrEnum):
    """How x lies in memory when a backend gets it; its values and shape are the same."""

    CONTIGUOUS = "contiguous"
    CHANNELS_LAST = "channels_last"
    STRIDED = "strided"  # every second element of something larger


class DType(enum.StrEnum):
    """The dtype in which a case is computed and its outputs are expected."""

    FLOAT64 = "float64"
    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"

    @property
    def unit_roundoff(self) -> float:
        """Unit roundoff of the dtype in which sums are accumulated: float32 for the half precisions."""
        return 2.0**-53 if self is DType.FLOAT64 else 2.0**-24

    @property
    def half(self) -> bool:
        """True for the 16-bit dtypes, which are coarser than the dtype in which sums are accumulated."""
        return self in {DType.FLOAT16, DType.BFLOAT16}

    @property
    def output_roundoff(self) -> float:
        """Unit roundoff of the dtype itself, in which a result is written down."""
        return {DType.FLOAT16: 2.0**-11, DType.BFLOAT16: 2.0**-8}.get(self, self.unit_roundoff)

    @property
    def tiny(self) -> float:
        """The number below which a roundoff of the sums' dtype is no longer relative: normal/unit roundoff."""
        return 2.0**-969 if self is DType.FLOAT64 else 2.0**-102

    @property
    def largest(self) -> float:
        """The largest finite number of the dtype."""
        return {
            DType.FLOAT64: (2 - 2.0**-52) * 2.0**1023,
            DType.FLOAT32: (2 - 2.0**-23) * 2.0**127,
            DType.FLOAT16: (2 - 2.0**-10) * 2.0**15,
            DType.BFLOAT16: (2 - 2.0**-7) * 2.0**127,
        }[self]

    @property
    def smallest_subnormal(self) -> float:
        """The smallest positive number of the dtype."""
        return {
            DType.FLOAT64: 2.0**-1074,
            DType.FLOAT32: 2.0**-149,
            DType.FLOAT16: 2.0**-24,
            DType.BFLOAT16: 2.0**-133,
        }[self]


class Output(enum.StrEnum):
    """One array that a normalization layer computes."""

    Y = "y"
    GRAD_X = "grad_x"
    GRAD_WEIGHT = "grad_weight"
    GRAD_BIAS = "grad_bias"
    RUNNING_MEAN = "running_mean"
    RUNNING_VAR = "running_var"

    @property
    def is_gradient(self) -> bool:
        """True for what differentiation gives, False for what the layer returns."""
        return self in {Output.GRAD_X, Output.GRAD_WEIGHT, Output.GRAD_BIAS}

    @property
    def is_state(self) -> bool:
        """True for the running statistics."""
        return self in {Output.RUNNING_MEAN, Output.RUNNING_VAR}


class Verdict(enum.StrEnum):
    """What is said of one output of one backend in one case. Only PASS and LOOSE are good news."""

    PASS = "pass"  # noqa: S105 (not a password)
    LOOSE = "loose"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"
    CRASH = "crash"
    TIMEOUT = "timeout"
    UNSUPPORTED = "unsupported"
    UNAVAILABLE = "unavailable"

    @property
    def compared(self) -> bool:
        """True where an output was there to be compared with the oracle."""
        return self in {Verdict.PASS, Verdict.LOOSE, Verdict.FAIL, Verdict.INCONCLUSIVE}

    @property
    def good(self) -> bool:
        """True where the output is right as far as its dtype can tell."""
        return self in {Verdict.PASS, Verdict.LOOSE}


# The worst verdict of a run is its verdict: the first of these that occurs.
SEVERITY = (
    Verdict.FAIL,
    Verdict.INCONCLUSIVE,
    Verdict.CRASH,
    Verdict.TIMEOUT,
    Verdict.ERROR,
    Verdict.UNAVAILABLE,
    Verdict.LOOSE,
    Verdict.PASS,
    Verdict.UNSUPPORTED,
)


class ExitCode(enum.IntEnum):
    """Exit codes of the command line (DESIGN §4)."""

    OK = 0
    MISMATCH = 1
    USAGE = 2
    BAD_INPUT = 3
    BACKEND = 4
    NOTHING_COMPARED = 5
    INTERNAL = 70
    INTERRUPTED = 130


Groups = tuple[tuple[int, ...], ...]


def format_groups(groups: Groups) -> str:
    """Write a partition of the channels as the command line takes it: ``0,1|2``."""
    return "|".join(",".join(map(str, group)) for group in groups)


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """The parameters of a case, all explicit: nothing relies on a framework's default.

    Parameters that a method does not have are None. Shapes, axes and momentum are in PyTorch's sense.
    """

    eps: float = DEFAULT_EPS
    channel_axis: int = 1
    num_groups: int | None = None
    groups: Groups | None = None
    normalized_ndim: int | None = None
    momentum: float | None = None
    track_running_stats: bool | None = None  # instance norm: keeps running statistics, as batch norm does

    def to_dict(self) -> dict[str, Any]:
        """The parameters that the method has, ready for JSON."""
        names = (
            "eps",
            "channel_axis",
            "num_groups",
            "groups",
            "normalized_ndim",
            "momentum",
            "track_running_stats",
        )
        pairs = ((name, getattr(self, name)) for name in names)
        return {
            name: [list(group) for group in value] if name == "groups" else value
            for name, value in pairs
            if value is not None
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One computation to be compared: method, parameters, fixture, dtype and mode; or a law put to it."""

    method: Method
    params: Params
    fixture: str
    dtype: DType
    mode: Mode = Mode.TRAIN
    steps: int = (
        1  # training calls, one after the other on the same batch, before the statistics are looked at
    )
    layout: Layout = Layout.CONTIGUOUS
    parameter_dtype: DType | None = None  # of weight, bias and running statistics, where it is not dtype
    outputs: tuple[Output, ...] = (Output.Y,)
    fixture_argument: str = ""  # what --fixture was
    default_normalized_ndim: int | None = None  # left out of the id where it holds
    law: str = ""  # the law by which its outputs are judged; empty: by the oracle

    @property
    def options(self) -> str:
        """The parameters that set this case apart, as in its id: ``groups=0,1|2``; empty if none does."""
        params = self.params
        shown: list[str] = []
        if params.groups is not None:
            shown.append(f"groups={format_groups(params.groups)}")
        if params.num_groups is not None:
            shown.append(f"num_groups={params.num_groups}")
        if params.normalized_ndim not in (None, self.default_normalized_ndim):
            shown.append(f"normalized_ndim={params.normalized_ndim}")
        if params.eps != DEFAULT_EPS:
            shown.append(f"eps={params.eps:g}")
        if params.channel_axis != 1 and self.method is not Method.LAYER:
            shown.append(f"channel_axis={params.channel_axis}")
        if params.momentum not in (None, DEFAULT_MOMENTUM):
            shown.append(f"momentum={params.momentum:g}")
        if params.track_running_stats:
            shown.append("track_running_stats=true")
        if self.tracks and self.mode is not Mode.TRAIN:
            shown.append(f"mode={self.mode}")
        if self.tracks and self.steps != (1 if self.mode is Mode.TRAIN else 0):
            shown.append(f"steps={self.steps}")
        if self.law:
            shown.append(f"law={self.law}")
        return ";".join(shown)

    @property
    def tracks(self) -> bool:
        """True if the layer keeps running statistics: batch norm, and instance norm that is told to."""
        return self.method is Method.BATCH or bool(self.params.track_running_stats)

    @property
    def uses_running(self) -> bool:
        """True if the running statistics take the place of the input's own: such a layer in eval mode."""
        return self.tracks and self.mode is Mode.EVAL

    def dtype_of(self, output: Output) -> DType:
        """The dtype that ``output`` must have: that of the input, or of the parameters."""
        if output in {Output.Y, Output.GRAD_X}:
            return self.dtype
        return self.parameter_dtype or self.dtype

    @property
    def id(self) -> str:
        """The name of this case, unique in a run: ``group[groups=0,1|2]/documents/float32``."""
        options = f"[{self.options}]" if self.options else ""
        return f"{self.method}{options}/{self.fixture}/{self.dtype}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Worst:
    """The element that decides a comparison: where it is, what went in, what came out, what should have."""

    index: tuple[int, ...]
    x: float | None  # the input at that index, where the output has the shape of the input
    actual: float
    expected: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Why a result that is no pass is expected, and where there is more about it."""

    reason: str
    link: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One output of one backend against the oracle, or a law's relation between outputs of one backend.

    The distances are None where none could be computed (no result, a wrong shape or dtype). Units:
    ``max_ulp`` in ulp of the case's dtype, ``backward_error`` and ``allowed`` in unit roundoffs of the
    inputs, ``seconds`` of wall time for the backend's computation of the case. ``known`` is what the ledger
    of known deviations says of the verdict; such a result does not fail the run.
    """

    case: Case
    backend: str
    output: Output
    verdict: Verdict
    reason: str | None = None
    max_abs_diff: float | None = None
    max_rel_diff: float | None = None
    max_ulp: int | None = None
    backward_error: float | None = None
    allowed: float | None = None
    mismatched: int | None = None
    total: int | None = None
    worst: Worst | None = None
    seconds: float | None = None
    stderr: str = ""
    known: Known | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """How far two backends are apart in one output of one case; None where that cannot be said."""

    case: str
    output: Output
    backends: tuple[str, str]
    max_abs_diff: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What the run ran on; ``backends`` maps a backend's name to what it says of itself."""

    python: str
    platform: str
    cpu: str
    backends: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that a run found; every format and the exit code are derived from it."""

    normcheck_version: str
    environment: Environment
    cases: tuple[Case, ...]
    results: tuple[Comparison, ...]
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...] = ()  # what a reader should know: backends left out, and the like
    arguments: Mapping[str, str] = field(default_factory=dict)  # of --backend, by the backend's name
    max_backward_error: float | None = None  # what replaced the derived bound
    stale: tuple[str, ...] = ()  # entries of the ledger that hold no more

    def by_oracle(self) -> tuple[Comparison, ...]:
        """The comparisons with the oracle: all but those that a law judged."""
        return tuple(result for result in self.results if not result.case.law)

    def counts(self) -> dict[Verdict, int]:
        """The number of comparisons by verdict, every verdict included."""
        found = Counter(result.verdict for result in self.results)
        return {verdict: found[verdict] for verdict in Verdict}

    def unexpected(self) -> Counter[Verdict]:
        """The number of comparisons by verdict, without those that the ledger knows of."""
        return Counter(result.verdict for result in self.results if result.known is None)

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of the run that is not known; unsupported where a backend could compute no case of a
        method, fail where an entry of the ledger holds no more.
        """
        counts = self.unexpected()
        if self.stale:
            return Verdict.FAIL
        if not counts and self.results:
            return Verdict.PASS
        if counts[Verdict.UNSUPPORTED] and self.exit_code in {ExitCode.BACKEND, ExitCode.NOTHING_COMPARED}:
            failed = (v for v in SEVERITY[: SEVERITY.index(Verdict.LOOSE)] if counts[v])
            return next(failed, Verdict.UNSUPPORTED)
        return next((verdict for verdict in SEVERITY if counts[verdict]), Verdict.ERROR)

    def uncovered(self) -> tuple[tuple[str, Method], ...]:
        """Each backend and method of which not one output was compared, in the order of the results.

        Laws do not count: wrong output may obey them.
        """
        compared: dict[tuple[str, Method], bool] = {}
        for result in self.by_oracle():
            key = (result.backend, result.case.method)
            answered = result.verdict.compared or result.known is not None
            compared[key] = compared.get(key, False) or answered
        return tuple(key for key, any_compared in compared.items() if not any_compared)

    @property
    def exit_code(self) -> ExitCode:
        """The exit code that follows: a mismatch outweighs a backend that gave no answer."""
        counts = self.unexpected()
        if counts[Verdict.FAIL] or counts[Verdict.INCONCLUSIVE] or self.stale:
            return ExitCode.MISMATCH
        if any(counts[v] for v in (Verdict.CRASH, Verdict.TIMEOUT, Verdict.ERROR, Verdict.UNAVAILABLE)):
            return ExitCode.BACKEND
        if not any(r.verdict.compared for r in self.by_oracle() if r.backend != EXPECTED):
            return ExitCode.NOTHING_COMPARED
        return ExitCode.BACKEND if self.uncovered() else ExitCode.OK
