"""Imported by the server that workers are forked from, and nowhere else: workers begin without a handler of SIGINT.

Guarantee: Ctrl-C, which the terminal sends to all processes of a command, is the parent's to answer: it kills its workers. One
that was just starting would print a traceback. Cost: none.
"""

from __future__ import annotations

import signal

signal.signal(signal.SIGINT, signal.SIG_IGN)
