"""Training by several processes, with torch's own parts: see `layout` and `divided`."""
