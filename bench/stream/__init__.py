"""One recording: the stream that crosses the link, and what is made of it."""
