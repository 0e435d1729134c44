"""The child process: it hosts one backend, computes the cases that come in, and sends the outputs back.

Everything here and in :mod:`normcheck.backends` runs under Python 3.9 with NumPy alone beside the framework.
"""
