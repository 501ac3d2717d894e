"""URLs as bytes: plain ones in their canonical form, and the look-up of their parts and words among hashes."""
