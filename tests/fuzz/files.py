"""Damaged and hostile fixture files: python tests/fuzz/files.py [--count N] [--seed S]

Each file is a valid one with a few changes: bytes at random, the header of an array, a value of the JSON
replaced by one that is out of place. It must be read, or refused with one line; what is read goes all the way to
the oracle. A JSON file that is read must be valid by the schema too. Everything follows from the seed.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from jsonschema import Draft202012Validator
from safetensors.numpy import save_file

from normcheck import fixtures
from normcheck.case import Method, Mode
from normcheck.data import parse
from normcheck.dtype import DType
from normcheck.errors import NormcheckError
from normcheck.judge.case import CaseJudge
from normcheck.options import Options
from normcheck.plan import Selection, plan
from normcheck.run.tasks import stated

SLOW = 20.0  # seconds for one small file
SCHEMA = Draft202012Validator(json.loads((Path(fixtures.__file__).parent / "schema.json").read_text()))
Values = dict[str, Any]
Change = Callable[[random.Random, Path], None]

X = np.array([[[1.0, 2.5], [4, 8], [0.5, -3]], [[3, 5], [9, -1], [2, 2.25]]])
ARRAYS = {
    "x": X,
    "weight": np.array([1.0, 2, -1]),
    "bias": np.array([0.5, 0, 1]),
    "running_mean": np.array([0.0, 1, 2]),
    "running_var": np.array([1.0, 2, 3]),
    "grad_y": X[::-1].copy(),
    "expected.y": X + 1,
}
LISTED: Values = {
    "description": "a file",
    "tags": ["mine"],
    "dtype": "float32",
    "parameter_dtype": "float32",
    "layout": "fortran",
    "channel_axis": 1,
    "steps": 2,
    "methods": {
        "group": [{"num_groups": 3, "eps": 1e-3}],
        "batch": [{"momentum": 0.5}],
        "layer": [{"normalized_axes": [1, 2]}],
    },
    "dtypes": ["float32", "float64"],
    "excludes": ["instance"],
    **{name: array.tolist() for name, array in ARRAYS.items() if name != "expected.y"},
    "expected": [
        {"method": "layer", "dtype": "float32", "params": {"eps": 1e-5}, "y": [[["-1.2", "0.5"]] * 3] * 2}
    ],
}
MADE: Values = {
    "shape": [2, 4, 3],
    "methods": {"group": [{"groups": [[0, 3], [1, 2]]}], "instance": [{"track_running_stats": True}]},
    "x": {"recipe": "bell", "seed": 7},
    "shift": {"seed": 1, "low": -4, "high": 4},
    "scale_exponent": 3,
    "places": [{"index": [0, 1, 2], "value": "nan"}],
    "weight": {"recipe": "uniform", "seed": 3, "low": -2, "high": 2},
}
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 1.5, -0.0, 1e308, 5e-324, 2**31, 2**63, -(2**70), 10**400),
    *("", "nan", "inf", "-0.0", "1e999", "1e-400", "1_000", " 1", "١", "x" * 5000, "\x1b[31m", "\ud800"),
    *("group", "float16", [], {}, [[]], [1, [2]], [[1, 2], [3]], [None], {"": 1}),
    *({"recipe": "bell"}, {"recipe": "ramp", "fraction_bits": 4000}),
)
HEADER = (
    *(b"<f4", b"<f8", b"|O", b"<i8", b"|V2", b"<c8", b"|S0", b"True", b"False"),
    *(b"(2,", b"(-1,", b"(9999999999,", b"()", b"{", b"[[[["),
)
TOKENS = (
    *(b"NaN", b"Infinity", b"1e400", b"[" * 2000, b'"x":', b"null", b",", b"\x00", b"\xff\xfe"),
    *(b"BF16", b"I64", b"F8_E4M3", b"U64", b"[0,8]"),
)


class FindingError(Exception):
    """What should not have happened."""


def write_json(draw: random.Random, path: Path) -> None:
    """A document with some values out of place, sometimes as a broken text, or with a key twice."""
    document = copy.deepcopy(draw.choice((LISTED, MADE)))
    for _ in range(draw.choice((0, 1, 1, 1, 2, 3))):
        _misplace(draw, document)
    text = json.dumps(document)
    if draw.random() < 0.05:
        key = draw.choice(list(document) or ["x"])
        text = f'{{"{key}": 1, {text[1:]}'
    content = text.encode()
    path.write_bytes(damaged(draw, content) if draw.random() < 0.1 else content)


def _misplace(draw: random.Random, document: Any) -> None:
    """Replace, remove, add or move one value somewhere in the document."""
    places = list(_places(document))
    holder, key = draw.choice(places) if places else (document, "x")
    kind = draw.random()
    if kind < 0.6:
        holder[key] = copy.deepcopy(draw.choice(ODD))
    elif kind < 0.75:
        del holder[key]
    elif kind < 0.85 and isinstance(holder, dict):
        name = draw.choice(
            (*LISTED, *MADE, "expected.y", "expected.grad_x", "eps", "y", "wieght", "normalized_ndim")
        )
        holder[name] = copy.deepcopy(draw.choice((*ODD, holder[key])))
    else:
        other, place = draw.choice(places)
        holder[key] = copy.deepcopy(other[place])


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in list(items):
        yield value, key
        yield from _places(each)


def damaged(draw: random.Random, content: bytes) -> bytes:
    """Some bytes changed, removed, repeated or put in."""
    data = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(data) + 1)
        if draw.random() < 0.5:  # headers decide more than numbers do
            at = min(at, draw.randrange(160))
        kind = draw.randrange(5)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << draw.randrange(8)
        elif kind == 1:
            data[at : at + draw.randint(1, 40)] = draw.choice((*TOKENS, *HEADER))
        elif kind == 2:
            del data[at : at + draw.randint(1, 60)]
        elif kind == 3:
            data[at:at] = data[at : at + draw.randint(1, 60)]
        else:
            del data[at:]
    return bytes(data)


def _arrays(draw: random.Random) -> dict[str, np.ndarray[Any, Any]]:
    """Some of the arrays, in dtypes, layouts and shapes at random."""
    found = {}
    kinds = ["<f4", "<f8", "<f2", ">f4", "<i4", "?", "<c8", "S3", "<M8[s]", "longdouble"]
    common = draw.choice(kinds[:4])
    for name, array in ARRAYS.items():
        if name == "x" or draw.random() < 0.5:
            kind = common if draw.random() < 0.95 else draw.choice(kinds)
            shapes = (np.asfortranarray(array), array.T, array[:1], array[:0], array.ravel(), array[None])
            shaped = array if draw.random() < 0.9 else draw.choice(shapes)
            found[f"{name}s" if draw.random() < 0.01 else name] = shaped.astype(kind)
    return found


def write_npy(draw: random.Random, path: Path) -> None:
    """One array, whose header or bytes may be damaged."""
    np.save(path, next(iter(_arrays(draw).values())))
    _damage(draw, path)


def write_npz(draw: random.Random, path: Path) -> None:
    """An archive, damaged as a whole or in one of its members, sometimes with a member twice."""
    (np.savez if draw.random() < 0.5 else np.savez_compressed)(path, **_arrays(draw))
    if draw.random() < 0.5:
        _damage(draw, path)
        return
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a name that is there twice
        for name, content in members.items():
            archive.writestr(name, damaged(draw, content) if draw.random() < 0.15 else content)
            if draw.random() < 0.05:
                archive.writestr(name, content)


def write_safetensors(draw: random.Random, path: Path) -> None:
    """Tensors, damaged; the length of the header is kept right as often as not."""
    arrays = {
        name: np.ascontiguousarray(a)
        for name, a in _arrays(draw).items()
        if a.dtype.kind in "fi" and a.dtype.itemsize <= 8
    }
    arrays = {name: a.astype(a.dtype.newbyteorder("=")) for name, a in arrays.items()} or {"x": X}
    if draw.random() < 0.3:
        arrays["x"] = X.astype(ml_dtypes.bfloat16)
    save_file(arrays, path)
    content = path.read_bytes()
    if draw.random() < 0.3:
        length = int.from_bytes(content[:8], "little")
        header = damaged(draw, content[8 : 8 + length])
        path.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + length :])
    else:
        _damage(draw, path)


def _damage(draw: random.Random, path: Path) -> None:
    if draw.random() < 0.5:
        path.write_bytes(damaged(draw, path.read_bytes()))


WRITERS: dict[str, Change] = {
    ".json": write_json,
    ".npz": write_npz,
    ".npy": write_npy,
    ".safetensors": write_safetensors,
}


def outcome(path: Path, draw: random.Random) -> str:
    """Read the file and take it as far as the oracle: "read" or "refused"; FindingError for anything else."""
    method = draw.choice(list(Method))
    selection = Selection(
        methods=(method,),
        fixtures=(str(path),),
        dtypes=draw.choice(((), (), (DType.FLOAT32,), tuple(DType))),
        modes=draw.choice((tuple(Mode), *((mode,) for mode in Mode))),
        params={"num_groups": 1} if method is Method.GROUP and draw.random() < 0.5 else {},
        gradients=draw.random() < 0.5,
    )
    try:
        planned = plan(selection)
        for each in planned.cases:
            arrays = each.fixture.arrays()
            judge = CaseJudge(each.case, arrays.inputs(each.case), Options(), stated(arrays, each))
            judge.prepare()
            judge.judge({})
    except NormcheckError as error:
        _check_words(str(error), longest=4000 + 2 * len(str(path)))
        return "refused"
    for note in planned.notes:
        _check_words(note, longest=4000 + 2 * len(str(path)))
    if path.suffix == ".json":
        wrong = next(iter(SCHEMA.iter_errors(parse(path.read_text()))), None)
        if wrong is not None:
            raise FindingError(f"read, but not valid by the schema: {wrong.message[:200]}")
    return "read"


def _check_words(text: str, *, longest: int) -> None:
    """FindingError unless the text is one line, not without end, and more than the name of Python's exception."""
    if not text.strip() or "\n" in text or len(text) > longest or "malformed:" in text:
        raise FindingError(f"not an error for users: {text[:300]!r}")


def fuzz(count: int, seed: int, folder: Path) -> Counter[str]:
    """The outcomes of ``count`` files by kind; the first file with another outcome stays in ``folder``."""
    found: Counter[str] = Counter()
    for number in range(count):
        draw = random.Random(f"{seed} {number}")  # noqa: S311 (no secret)
        suffix = draw.choice(list(WRITERS))
        path = folder / f"f{number}{suffix}"
        WRITERS[suffix](draw, path)
        start = time.monotonic()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found[f"{suffix} {outcome(path, draw)}"] += 1
        except Exception as error:
            what = f"file {number} of seed {seed}, {path}: {type(error).__name__}: {error}"
            raise FindingError(what) from error
        if (taken := time.monotonic() - start) > SLOW:
            raise FindingError(f"file {number} of seed {seed}, {path}: took {taken:.0f} s")
        path.unlink()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="normcheck-fuzz-"))
    try:
        found = fuzz(chosen.count, chosen.seed, folder)
    except FindingError:
        traceback.print_exc()
        return 1
    folder.rmdir()
    print(
        f"files: {chosen.count:,} of seed {chosen.seed}: "
        + ", ".join(f"{found[k]:,} {k}" for k in sorted(found))
    )
    return 0 if sum(found.values()) == chosen.count > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
