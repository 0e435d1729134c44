"""Judge results: arrays and the oracle in, frozen figures and verdicts out; pure."""
