"""The local prediction endpoint: HTTP/1.1 on a Unix domain socket, or on loopback TCP behind a token."""
