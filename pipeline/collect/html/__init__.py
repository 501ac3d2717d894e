"""HTML: `main` takes the main text out of a page, `blocks` divides it into blocks of text.

Input: the bytes of a page.
Work: `blocks` scans it (`kernels/html`); `features` describes each block in numbers, by which `choose`
keeps some, and `whole` what belongs to them.
Output: the text of all or of chosen blocks, by `texts` (each by itself) and `render` (together, plain or as Markdown).
"""
