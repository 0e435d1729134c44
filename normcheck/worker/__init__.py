"""Processes that host one backend each, and the frames between them and the parent.

``python -m normcheck.worker`` is the child; :mod:`normcheck.worker.client` is the parent's side.
"""
