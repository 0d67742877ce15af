"""A server with other content at each address."""

from http.server import BaseHTTPRequestHandler


class Files(BaseHTTPRequestHandler):
    """Other weights at each address."""

    content = {}

    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Length', str(len(self.content[self.path])))
        self.end_headers()
        self.wfile.write(self.content[self.path])

    def log_message(self, *_):
        pass
