"""Parsers: foreign formats are decoded in disposable, confined processes, which give nothing but records.

Input: the open descriptor of a file, and a request of plain values.
Work: `attempts` reads a piece: after a parser died or overran its deadline it asks again, alone, in a fresh one, and then
quarantines the record by name. `host` passes descriptors to parsers and watches them; `start` runs the `template`, the process
that they are forked from, and `serve` is what a parser runs. `confine` takes away what a parser must not do, with `landlock`
and `seccomp`. `frames` is the stream between the two: plain data, whose every length and type the receiver checks.
Output: records (`collect.records`).
"""
