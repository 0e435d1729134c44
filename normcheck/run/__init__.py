"""Run cases: the grammar of ``--backend``, the sources of answers, and the session that asks and judges them."""
