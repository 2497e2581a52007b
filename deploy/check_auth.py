"""A mock of Supabase Auth for deploy/check, which behaves like a hosted project towards a server and its clients.

Users sign up and get access tokens. The tokens are signed with ES256, like those of a project with
signing keys. Calls need the project's API key. Do not use this module to protect data."""

import base64
import hashlib
import json
import secrets
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

API_KEY = "sb_publishable_check"

# The curve P-256 (FIPS 186-5): its field, the order of its base point, and that point.
FIELD = 2**256 - 2**224 + 2**192 + 2**96 - 1
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
BASE = (0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
        0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5)


class SupabaseAuth:
    """Listens on an address of this machine until it is closed."""

    def __init__(self, address):
        self.private_key = secrets.randbelow(ORDER - 1) + 1
        self.users, self.tokens = {}, {}
        # The number of calls for a token's user, and for the keys.
        self.asked = {"user": 0, "jwks.json": 0}
        # The issuer of the tokens: the project's address in the server's settings.
        self.issuer = None
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.answer(*stand_in.get(self.path.rsplit("/", 1)[-1], self.headers))

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                self.answer(*stand_in.post(self.path, self.headers, body))

            def answer(self, status, value):
                body = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer((address, 0), Handler)
        self.server.daemon_threads = True
        self.host, self.port = self.server.server_address
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def get(self, name, headers):
        if name == "jwks.json":
            self.asked[name] += 1
            x, y = (base64url(number.to_bytes(32, "big")) for number in times(self.private_key, BASE))
            return 200, {"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "1",
                                   "key_ops": ["verify"], "x": x, "y": y}]}
        if headers["apikey"] != API_KEY:
            return 401, {"message": "No API key found in request"}
        if name != "user":
            return 404, {"message": "not served by this stand-in"}
        self.asked[name] += 1
        user = self.tokens.get(headers["authorization"].removeprefix("Bearer "))
        return (200, user) if user else (403, {"code": 403, "error_code": "bad_jwt", "msg": "invalid JWT"})

    def post(self, path, headers, body):
        if headers["apikey"] != API_KEY:
            return 401, {"message": "No API key found in request"}
        if path == "/auth/v1/signup":
            user = {"id": str(uuid.uuid4()), "aud": "authenticated", "role": "authenticated", "email": body["email"],
                    "app_metadata": {"provider": "email"}, "user_metadata": {}, "is_anonymous": False}
            self.users[body["email"], body["password"]] = user
        user = self.users.get((body["email"], body["password"]))
        if not user:
            return 400, {"code": 400, "error_code": "invalid_credentials", "msg": "Invalid login credentials"}
        return 200, {"access_token": self.token(user, self.issuer), "token_type": "bearer", "user": user}

    def token(self, user, issuer):
        """An access token for a user, from any issuer."""
        now = int(time.time())
        claims = {"iss": issuer, "sub": user["id"], "aud": "authenticated", "role": "authenticated", "iat": now,
                  "exp": now + 3600, "email": user["email"], "session_id": str(uuid.uuid4())}
        head = {"alg": "ES256", "typ": "JWT", "kid": "1"}
        signed = ".".join(base64url(json.dumps(part).encode()) for part in (head, claims))
        token = f"{signed}.{base64url(sign(self.private_key, signed.encode()))}"
        self.tokens[token] = user
        return token


def base64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def sign(key, text):
    """ECDSA with SHA-256, in the form of RFC 7518, section 3.4."""
    nonce = secrets.randbelow(ORDER - 1) + 1
    r = times(nonce, BASE)[0] % ORDER
    s = pow(nonce, -1, ORDER) * (int.from_bytes(hashlib.sha256(text).digest(), "big") + r * key) % ORDER
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def times(number, point):
    """A multiple of a point, by doubling and adding."""
    total = None
    while number:
        if number & 1:
            total = plus(total, point)
        point, number = plus(point, point), number >> 1
    return total


def plus(one, other):
    """The sum of two points that are not each other's negatives. None is the neutral element."""
    if one is None or other is None:
        return one or other
    (x1, y1), (x2, y2) = one, other
    slope = (3 * x1 * x1 - 3) * pow(2 * y1, -1, FIELD) if one == other else (y2 - y1) * pow(x2 - x1, -1, FIELD)
    x = (slope * slope - x1 - x2) % FIELD
    return x, (slope * (x1 - x) - y1) % FIELD
