"""Block and allow lists of hosts, addresses and words, applied to the URLs of documents.

`settings` names the lists, `lines` reads what they hold, `build` makes an index of each, and `index` looks up in it. `hits`
finds the entries that URLs hit, and `stage` decides. `pipeline.stages.addresses` says what the canonical form of a URL is.
"""
