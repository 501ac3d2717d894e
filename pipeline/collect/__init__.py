"""Collection: turns sources into documents.

Input: the section `collect` of the settings, which names files, folders and globs (text, HTML, JSON Lines, Parquet, CSV, WARC),
data sets, or the documentation installed on this machine.
Work: `step` runs the parts in order. `listing`, `hub` and `installed` list the files of a source, `inputs` identifies them by
their content, and `plan` divides them into splits. Workers run `split`, which reads records (`text`, `html`, `docstrings`,
`lines`, `jsonl`, `tables`, `csv_rows`, `warc` and `http`, over the streams of `framing`), checks them (`records`) and
writes shards (`write`). `unique` then makes ids unique, and `publish` merges the tables of rejected records.
Output: shards below `documents/`, `collect/dropped.parquet`, and `quarantine/<source>.parquet`. Every record is in one of them.
With `extract_scores`, also shards below `collect/scores/` (`scores`).
"""
