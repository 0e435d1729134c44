"""The ledger of known deviations: the results that are expected to fail, and why.

    [[tool.normcheck.known]]
    backend = "torch.channels_last"
    case = "group*/offset-1e?/float32"
    verdict = "fail"
    reason = "its CPU kernel for channels-last memory computes the variance in one pass"
    link = "docs/findings/torch-group-norm-channels-last.py"

stands in pyproject.toml, or as ``[[known]]`` in normcheck.toml. In ``case`` and ``backend`` ``*`` stands for anything
and ``?`` for one character; brackets stand for themselves. ``case`` may be an array of such patterns, each of which
makes an entry; ``output`` may narrow an entry to one output, ``version`` to versions of the backend.

One ledger serves many commands: an entry that a run could not have shown says nothing about that run. An entry that
the run contradicts is stale, and fails it.
"""
