"""Mask or remove personal data in texts: addresses, numbers with check digits, telephone numbers, keys. They become edits."""
