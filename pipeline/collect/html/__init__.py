"""HTML: `encoding` decodes bytes, `main` takes the main text out of a page."""
