"""What there is to say of an implementation in the corpus, and the conventions that are to be found in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"

METHODS = ("batch", "layer", "instance", "group", "rms")
B, L, I, G, R = ((method,) for method in METHODS)  # noqa: E741
CENTRED = B + L + I + G  # the methods that take the mean away
DTYPES = ("float32", "float64", "float16", "bfloat16")
FULL = ("float32", "float64")  # where nothing is hidden by the rounding of the result
HALF = ("float16", "bfloat16")
CORE = ("core",)
EIGHT_CHANNELS = ("nchw", "offset-1e2")  # what layers of torch.nn are made for
IMAGES = ("offset-1", "offset-1e2")


@dataclass(frozen=True, slots=True)
class Implementation:
    """A target of normcheck in the corpus: ``attribute`` of ``file``, hosted by ``host``.

    ``catalogue`` is what it is an example of, by the ids of CATALOGUE; ``fixtures`` are what it is run on: CORE is
    normcheck's default, so that the command has no options but the method and the dtype. It is called in this process,
    unless it ``ends_its_process``.
    """

    file: str
    attribute: str
    catalogue: str
    what: str
    methods: tuple[str, ...] = METHODS
    host: str = "numpy"
    dtypes: tuple[str, ...] = DTYPES
    fixtures: tuple[str, ...] = CORE
    ends_its_process: bool = False

    @property
    def name(self) -> str:
        return f"{self.file}.{self.attribute}"

    def target(self, method: str) -> str:
        """Where it is, as ``--backend`` takes it: of an implementation of several methods the one for ``method``."""
        own = (
            {"rms": ".uncentred", "instance": ".of_instances"}.get(method, "")
            if len(self.methods) > 1
            else ""
        )
        return f"{CORPUS / self.file}.py:{self.attribute}{own}"


@dataclass(frozen=True, slots=True)
class Mutant(Implementation):
    """A broken implementation.

    ``breaks`` says in which aspects: y, gradients, state, dtype, conduct, result (none, raised or died); in
    others it must never fail. ``killed_in`` are the dtypes in which it must be killed, each method by itself, but
    for the pairs in ``hidden``. ``survives`` says why it cannot be, where that is known; it is then expected to
    survive.
    """

    breaks: tuple[str, ...] = ("y",)
    killed_in: tuple[str, ...] = DTYPES
    hidden: tuple[tuple[str, str], ...] = ()  # methods with dtypes whose rounding hides it
    survives: str | None = None


@dataclass(frozen=True, slots=True)
class Honest(Implementation):
    """A legitimate implementation: it must never be accused in ``dtypes``."""


CATALOGUE = {
    "E1": "another default eps",
    "E2": "eps outside the root",
    "E3": "the larger of variance and eps",
    "E4": "eps ignored",
    "E5": "eps raised to a minimum, or added twice",
    "E6": "eps in float16",
    "E7": "eps scaled by the largest element",
    "E8": "eps of the machine",
    "V1": "n - 1 inside the normalization",
    "V2": "running variance biased",
    "V3": "one pass: E[x²] - E[x]²",
    "V4": "the algorithm depends on the memory format",
    "V5": "sequential sums over long axes",
    "V6": "padded lanes counted",
    "V7": "folded affine",
    "A1": "layer norm over the channels only, or over all",
    "A2": "one group is not layer norm over the channels",
    "A3": "groups interleaved",
    "A4": "size of groups for their number",
    "A5": "wrong channel axis",
    "A6": "weight and bias by group",
    "A7": "strides or storage offset ignored",
    "A8": "not centred (RMS)",
    "W1": "1 + weight",
    "W2": "weight ignored",
    "W3": "weight of another shape",
    "P1": "x̂ rounded before the affine step",
    "P2": "output dtype follows the weight",
    "P3": "statistics in half precision",
    "P4": "input rounded before the statistics",
    "R1": "momentum weighs the old value",
    "R2": "cumulative average",
    "R3": "debiased moving average",
    "R4": "training with the moving average",
    "R5": "inference with the batch's statistics",
    "R6": "training as inference",
    "R7": "mean of unequal shards, or of their variances",
    "S1": "residual not added, or the sum not returned",
    "S2": "the sum with the residual is not rounded",
    "D1": "one value per statistic set",
    "D2": "empty batch",
    "D3": "squares overflow float32",
    "D4": "constant set",
    "D5": "NaN or Inf in another set",
    "D6": "wrong gradients",
}

NO_MUTANT = {
    "D2": "the fixture empty-batch: where nothing is compared, nothing can pass",
    "V5": "no order of summation is worse than n roundings: LOOSE by definition, an error with --strict; "
    "sequential_sums is among the honest ones",
    "V7": "legitimate: backward stable, see folded_affine among the honest ones",
}


def table(file: str, *rows: tuple, of: type[Implementation], **common) -> Iterator[Implementation]:
    """One implementation for each (attribute, catalogue id, what, exceptions to ``common``)."""
    for attribute, catalogue, what, *exceptions in rows:
        yield of(file, attribute, catalogue, what, **common | (exceptions[0] if exceptions else {}))
