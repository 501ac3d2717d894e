"""How good the main text of pages is, and how the trees that choose it are trained.

`overlap` measures, `pages` reads pages with known main text, `peers` runs extractors of others, `labels` says which blocks of a
page are main text, `boost` grows trees, `model` keeps them, `train` tests them on pages that they did not see, `evaluate`
compares all of them.
"""
