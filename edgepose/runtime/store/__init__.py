"""From the name of a model to its files: what can be downloaded, from where, and the cache that it is kept in."""
