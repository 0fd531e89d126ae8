"""Encodes one recording to the stream that crosses the link, and decodes such streams to frames."""
