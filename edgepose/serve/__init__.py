"""The server of `edgepose serve`: pictures and frames in over HTTP, people out as JSON, and a page to look at."""
