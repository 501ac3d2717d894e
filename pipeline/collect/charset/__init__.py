"""Bytes to text as browsers do it. `decode` joins what pages declare, labels, detection, and the decoders of the web."""
