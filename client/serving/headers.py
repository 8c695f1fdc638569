"""uvicorn's protocol with a cap on what a request says before its body."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEADER_BYTES = 32_768


class CappedProtocol(HttpToolsProtocol):
    """Hangs up on who sends headers without end."""

    _before_body = 0
    _in_body = False

    def data_received(self, data: bytes) -> None:
        """Count what comes until the headers are complete."""
        if not self._in_body:
            self._before_body += len(data)
        super().data_received(data)
        if not self._in_body and self._before_body > MOST_HEADER_BYTES and self.parser is not None:
            self.send_400_response(f"Headers may hold {MOST_HEADER_BYTES} bytes.")

    def on_headers_complete(self) -> None:
        """Begin with the body."""
        self._in_body = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Begin with the next request."""
        self._in_body, self._before_body = False, 0
        super().on_message_complete()
