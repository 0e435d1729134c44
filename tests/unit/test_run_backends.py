"""What ``--backend`` may name, and the sentence that one gets for what it may not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from normcheck.backends import DEFAULT
from normcheck.errors import NormcheckError, TargetError, UnknownNameError, UsageError
from normcheck.run.backends import BackendSpec, backend_specs


@pytest.fixture(autouse=True)
def norm_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "norm.py").write_text("")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("text", "name", "host", "target"),
    [
        ("numpy", "numpy", "numpy", None),
        ("torch", "torch", "torch", None),
        ("numpy:norm.py:f", "numpy:norm.py:f", "numpy", "norm.py:f"),
        ("mine=torch:norm.py:Model.norm", "mine", "torch", "norm.py:Model.norm"),
        ("my-norm_2.0=jax:package.module:f", "my-norm_2.0", "jax", "package.module:f"),
        ("größe=numpy:m:f", "größe", "numpy", "m:f"),
        ("numpy:a=b:f", "numpy:a=b:f", "numpy", "a=b:f"),
    ],
)
def test_a_backend_is_read(text: str, name: str, host: str, target: str | None) -> None:
    assert BackendSpec(name=name, host=host, target=target, argument=text) == BackendSpec.parse(text)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("nunpy", UnknownNameError, "Did you mean 'numpy'"),
        ("", UnknownNameError, "unknown backend ''"),
        ("NumPy", UnknownNameError, "unknown backend 'NumPy'"),
        ("caffe:norm.py:f", UnknownNameError, "unknown backend 'caffe'"),
        ("mine=numpy", UsageError, "an alias needs a target"),
        ("jax[jit]", UsageError, "the option 'jit' is none of its options; valid: jit"),
        ("jax[jit=Maybe]", UsageError, "jit is 'Maybe'; valid: True, False"),
        ("jax[eager=True]", UsageError, "'eager=True' is none of its options; valid: jit"),
        ("numpy[jit=True]", UsageError, "valid: none"),
        ("jax[jit=True,jit=True]", UsageError, "none of its options"),
        ("jax[jit=True", UsageError, "write [ALIAS=]NAME"),
        ("numpy@absent/python", TargetError, "no such file: absent/python"),
        ("numpy@norm.py", TargetError, "not an interpreter that can be run"),
        ("file:absent.safetensors", TargetError, "no such file: absent.safetensors"),
        ("file=numpy:norm.py:f", UsageError, "the alias 'file'"),
        ("numpy:", UsageError, "must be path/to/file.py:attribute"),
        ("numpy:norm.py", UsageError, "must be path/to/file.py:attribute"),
        ("numpy:norm.py:", UsageError, "must be path/to/file.py:attribute"),
        ("numpy::f", UsageError, "must be path/to/file.py:attribute"),
        ("numpy:absent.py:f", TargetError, "no such file: absent.py"),
        ("=numpy:norm.py:f", UsageError, "the alias ''"),
        ("a b=numpy:norm.py:f", UsageError, "the alias 'a b'"),
        ("\x1b[31m=numpy:norm.py:f", UsageError, "'\\x1b[31m=numpy"),
        ("a/b=numpy:norm.py:f", UsageError, "the alias"),
        ("torch=numpy:norm.py:f", UsageError, "none of numpy, torch, jax"),
        ("expected=numpy:norm.py:f", UsageError, "expected"),
    ],
)
def test_what_names_no_backend_is_refused(text: str, kind: type[NormcheckError], message: str) -> None:
    with pytest.raises(kind, match=None) as caught:
        BackendSpec.parse(text)
    assert message in str(caught.value)


def test_options_interpreters_and_recordings_are_read(tmp_path: Path) -> None:
    slow = BackendSpec.parse("slow=jax[jit=False]")
    assert ("slow", "jax", (("jit", "False"),)) == (slow.name, slow.host, slow.options)
    assert "jax[jit=False]" == BackendSpec.parse("jax[jit=False]").name
    own = BackendSpec.parse("jax[jit=False]:norm.py:f")
    assert ((("jit", "False"),), "norm.py:f") == (own.options, own.target)
    (tmp_path / "python").symlink_to(sys.executable)
    old = BackendSpec.parse("old=numpy@python")
    assert ("old", "numpy", str(tmp_path / "python")) == (
        old.name,
        old.host,
        old.python,
    )  # the link, as it is
    (tmp_path / "run.safetensors").write_bytes(b"")
    recorded = BackendSpec.parse("gpu=file:run.safetensors")
    assert ("gpu", "file", "run.safetensors") == (recorded.name, recorded.host, recorded.recording)


def test_one_backend_named_twice_is_one() -> None:
    specs, notes = backend_specs(["numpy", "numpy"])
    assert ["numpy"] == [spec.name for spec in specs]
    assert () == notes


def test_two_backends_of_one_name_are_refused() -> None:
    with pytest.raises(UsageError, match="two backends are called 'a'"):
        backend_specs(["a=numpy:norm.py:f", "a=numpy:norm.py:g"])


def test_without_names_every_usable_built_in_runs_and_the_others_are_noted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "normcheck.run.backends.missing", lambda name: "it is gone" if name == "torch" else None
    )
    specs, notes = backend_specs([])
    assert [name for name in DEFAULT if name != "torch"] == [spec.name for spec in specs]
    assert ("torch was left out: it is gone",) == notes
