"""HTML: `main` takes the main text out of a page."""
