"""Where evaluation items stand in texts."""
