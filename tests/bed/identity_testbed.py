#!/usr/bin/env python3
"""Google's and Azure's token services on loopback, and gates that make the storage emulators obey them.

    python3 identity_testbed.py --port 5900 \\
        --gcs-gate 5901 --gcs-upstream http://127.0.0.1:4443 \\
        --azure-gate 5902 --azure-upstream https://127.0.0.1:10000 --tls-cert srv.pem --tls-key srv.key

Google: OAuth token endpoint for service account keys, metadata server, generateAccessToken.
Azure: /{tenant}/oauth2/v2.0/token for a multi-tenant app. fake-gcs-server and Azurite let any token
in; the gates let a request through only for an account that was granted the bucket or container.
README.md has the manifest and the calls.
"""

import argparse
import base64
import http.client
import json
import re
import secrets
import ssl
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

STORAGE_AUDIENCE = "https://storage.azure.com"
ANY_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
IAM_SCOPE = "https://www.googleapis.com/auth/iam"
READ_SCOPE = "https://www.googleapis.com/auth/devstorage.read_only"
HOP_HEADERS = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade"}
# By what somebody who asks for a token shows who it is.
PROOFS = ("assertion", "client_assertion", "client_secret", "refresh_token", "subject_token")


class Refused(Exception):
    def __init__(self, status, body, headers=None):
        super().__init__(str(body))
        self.status, self.body, self.headers = status, body, headers or {}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def make_jwt(key, claims):
    signed = (
        b64(json.dumps({"alg": "RS256", "typ": "JWT", "kid": "testbed"}).encode())
        + "."
        + b64(json.dumps(claims).encode())
    )
    return signed + "." + b64(key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))


def read_jwt(public_key, token):
    """The claims of a token that this key signed, or ValueError."""
    try:
        signed, _, signature = token.rpartition(".")
        public_key.verify(unb64(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return json.loads(unb64(signed.split(".")[1]))
    except (InvalidSignature, IndexError, ValueError) as error:
        raise ValueError("bad token") from error


class World:
    """Who exists and who may do what; the manifest fills it."""

    def __init__(self):
        self.azure_key = rsa.generate_private_key(65537, 2048)
        self.reset()

    def reset(self):
        self.google = {"accounts": {}, "default_account": None, "buckets": {}, "federation": {}, "refresh_tokens": {}}
        self.azure = {"app_id": "app", "secret": "secret", "tenants": {}, "grants": []}
        self.google_keys, self.tokens, self.journal, self.faults = {}, {}, [], []
        self.azure_tokens, self.ended_azure_tokens = {}, set()
        self.issued, self.shown = [], []
        self.settings = {"token_seconds": 3600, "clock_offset": 0}

    def now(self):
        return time.time() + self.settings["clock_offset"]

    def apply(self, manifest):
        """Adds to what there is, so that tests that run at the same time may each bring their own names."""
        google, azure = manifest.get("google", {}), manifest.get("azure", {})
        for part in ("accounts", "buckets", "federation", "refresh_tokens"):
            self.google[part].update(google.get(part, {}))
        if "default_account" in google:
            self.google["default_account"] = google["default_account"]
        self.azure["tenants"].update(azure.get("tenants", {}))
        self.azure["grants"] += [grant for grant in azure.get("grants", []) if grant not in self.azure["grants"]]
        self.azure.update({key: azure[key] for key in ("app_id", "secret") if key in azure})
        self.settings.update(manifest.get("settings", {}))
        return {"google": self.google, "azure": self.azure, "settings": self.settings}

    def revoke(self, given):
        """Ends the tokens of a Google account or of an Azure tenant, or withdraws the grants of an Azure tenant."""
        for token in [token for token, held in self.tokens.items() if held[0] == given.get("email")]:
            del self.tokens[token]
        self.ended_azure_tokens.update(self.azure_tokens.get(given.get("tokens_of"), ()))
        self.azure["grants"] = [grant for grant in self.azure["grants"] if grant["tenant"] != given.get("tenant")]
        return {}

    # -- Google

    def google_key(self, email, token_uri):
        """A service account key file, as the cloud console would hand it out."""
        key = self.google_keys[email] = rsa.generate_private_key(65537, 2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        return {
            "type": "service_account",
            "project_id": "testbed",
            "private_key_id": "testbed",
            "private_key": pem,
            "client_email": email,
            "client_id": "1",
            "token_uri": token_uri,
        }

    def mint_google(self, email, scopes, seconds=None):
        longest = self.google["accounts"].get(email, {}).get("token_seconds", self.settings["token_seconds"])
        seconds = min(seconds or longest, longest)
        token = "ya29." + secrets.token_urlsafe(32)
        self.tokens[token] = (email, self.now() + seconds, scopes)
        self.issued.append(token)
        self.journal.append({"time": time.time(), "server": "identity", "minted": email, "scopes": scopes})
        return token, seconds

    def tenant_of(self, authorization):
        """Whose Azure token it is, for the journal."""
        try:
            return read_jwt(self.azure_key.public_key(), (authorization or "").removeprefix("Bearer "))["tid"]
        except (ValueError, KeyError):
            return None

    def named(self, authorization):
        """Whose token it is, for the journal, whatever it is worth now."""
        return self.tokens.get((authorization or "").removeprefix("Bearer "), (None,))[0]

    def google_caller(self, authorization, scope):
        if not authorization:
            raise Refused(401, google_error(401, "Anonymous caller does not have access.", "UNAUTHENTICATED"))
        email, expires, scopes = self.tokens.get(authorization.removeprefix("Bearer "), (None, 0, []))
        if email is None or self.now() >= expires:
            raise Refused(
                401,
                google_error(401, "Invalid Credentials", "UNAUTHENTICATED"),
                {"WWW-Authenticate": 'Bearer realm="https://accounts.google.com/", error="invalid_token"'},
            )
        if scope not in scopes and ANY_SCOPE not in scopes:
            message = "Request had insufficient authentication scopes."
            raise Refused(403, google_error(403, message, "PERMISSION_DENIED"))
        return email

    def google_token(self, form):
        scopes = form.get("scope", ANY_SCOPE).split()
        match form.get("grant_type"):
            case "urn:ietf:params:oauth:grant-type:jwt-bearer":
                email, scopes = self.by_assertion(form)
            case "urn:ietf:params:oauth:grant-type:token-exchange":
                pool = self.google["federation"].get(form.get("audience"), {})
                email = pool.get(form.get("subject_token"))
            case "refresh_token":
                held = self.google["refresh_tokens"].get(form.get("refresh_token"), {})
                wanted = {key: form.get(key) for key in ("client_id", "client_secret")}
                email = held.get("email") if wanted.items() <= held.items() else None
            case _:
                raise Refused(400, {"error": "unsupported_grant_type"})
        if email is None:
            raise Refused(400, {"error": "invalid_grant", "error_description": "Nobody that is known here."})
        token, seconds = self.mint_google(email, scopes)
        return {"access_token": token, "expires_in": seconds, "token_type": "Bearer"}

    def by_assertion(self, form):
        try:
            email = json.loads(unb64(form["assertion"].split(".")[1]))["iss"]
            claims = read_jwt(self.google_keys[email].public_key(), form["assertion"])
        except (KeyError, ValueError, IndexError):
            raise Refused(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}) from None
        if not claims.get("scope") or self.now() > claims["exp"]:
            raise Refused(400, {"error": "invalid_grant", "error_description": "Invalid JWT: scope or lifetime."})
        return email, claims["scope"].split()

    def generate_access_token(self, authorization, target, given):
        caller = self.google_caller(authorization, IAM_SCOPE)
        account = self.google["accounts"].get(target, {})
        if caller not in account.get("token_creators", []):
            raise Refused(
                403,
                google_error(
                    403,
                    "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).",
                    "PERMISSION_DENIED",
                ),
            )
        if not given.get("scope"):
            raise Refused(400, google_error(400, "Request contains an invalid argument.", "INVALID_ARGUMENT"))
        token, seconds = self.mint_google(target, given["scope"], int(given.get("lifetime", "3600s").rstrip("s")))
        return {
            "accessToken": token,
            "expireTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.now() + seconds)),
        }

    def check_gcs(self, method, path, headers):
        """Raises unless the caller may ask this; tells whether a missing object is to be kept from the caller.

        `readers` get and list, `getters` only get, `listers` only list, as Google's roles do.
        """
        if path.startswith("/_internal/"):
            return False
        found = re.match(r"/(?:upload/|download/)?storage/v1/b/([^/?]+)", path)
        is_list = bool(found) and urllib.parse.urlsplit(path).path.endswith("/o")
        found = found or re.match(r"/([^/?]+)/", path)
        bucket = self.google["buckets"].get(urllib.parse.unquote(found.group(1)) if found else "", {})
        try:
            return self.judge_gcs(method, is_list, bucket, path, headers)
        except Refused as refusal:
            if path.startswith(("/storage/", "/upload/", "/download/")):
                raise
            raise Refused(refusal.status, google_xml(refusal.body["error"]), refusal.headers) from None

    def judge_gcs(self, method, is_list, bucket, path, headers):
        readers, writers, getters, listers = (
            bucket.get(kind, []) for kind in ("readers", "writers", "getters", "listers")
        )
        may_list = readers + writers + listers
        granted = writers if method not in ("GET", "HEAD") else may_list if is_list else readers + writers + getters
        email = "allUsers" if "allUsers" in granted else self.google_caller(headers.get("Authorization"), READ_SCOPE)
        for fault in self.faults:
            if fault["times"] > 0 and fault["path"] in path:
                fault["times"] -= 1
                raise Refused(fault["status"], google_error(fault["status"], "told to fail", "", fault["reason"]))
        payers = bucket.get("payers")
        if payers is not None and headers.get("x-goog-user-project") not in payers:
            message = "Bucket is a requester pays bucket but no user project provided."
            raise Refused(400, google_error(400, message, "INVALID_ARGUMENT", "userProjectMissing"))
        if email not in granted:
            message = f"{email} does not have storage.objects.get access to the Google Cloud Storage object."
            raise Refused(403, google_error(403, message, "PERMISSION_DENIED", "forbidden"))
        return email not in may_list and "allUsers" not in may_list

    # -- Azure

    def azure_token(self, tenant_id, form):
        tenant = self.azure["tenants"].get(tenant_id)
        if tenant is None:
            raise Refused(400, azure_error("invalid_request", 90002, f"Tenant '{tenant_id}' not found."))
        if form.get("client_id") != self.azure["app_id"] or not tenant.get("consented"):
            raise Refused(
                400,
                azure_error(
                    "unauthorized_client",
                    700016,
                    f"Application with identifier '{form.get('client_id')}' was not found in the directory '{tenant_id}'.",
                ),
            )
        if form.get("client_secret") != self.azure["secret"] and "client_assertion" not in form:
            raise Refused(401, azure_error("invalid_client", 7000215, "Invalid client secret provided."))
        resource = form.get("scope", "").removesuffix("/.default")
        now, seconds, number = int(self.now()), self.settings["token_seconds"], secrets.token_urlsafe(16)
        self.azure_tokens.setdefault(tenant_id, set()).add(number)
        token = make_jwt(
            self.azure_key,
            {
                "aud": resource or STORAGE_AUDIENCE,
                "iss": f"https://sts.windows.net/{tenant_id}/",
                "iat": now,
                "nbf": now - 5,
                "exp": now + seconds,
                "tid": tenant_id,
                "appid": self.azure["app_id"],
                "oid": f"sp-in-{tenant_id}",
                "uti": number,
                "ver": "1.0",
            },
        )
        self.issued.append(token)
        return {"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token}

    def check_azure(self, method, path, headers):
        """Shared keys and SAS go through to Azurite; bearer tokens need a grant: {tenant, account, container, write}."""
        authorization = headers.get("Authorization", "")
        if not authorization.startswith("Bearer "):
            return
        try:
            claims = read_jwt(self.azure_key.public_key(), authorization.removeprefix("Bearer "))
        except ValueError:
            raise Refused(
                401,
                azure_xml(
                    "InvalidAuthenticationInfo", "Authentication information is not given in the correct format."
                ),
            ) from None
        if claims["uti"] in self.ended_azure_tokens:
            place = f"https://login.microsoftonline.com/{claims['tid']}/oauth2/authorize"
            raise Refused(
                401,
                azure_xml("InvalidAuthenticationInfo", "The token has ended."),
                {
                    "x-ms-error-code": "InvalidAuthenticationInfo",
                    "WWW-Authenticate": f"Bearer authorization_uri={place} resource_id=https://storage.azure.com",
                },
            )
        host, parts = headers.get("Host", "").split(":")[0], urllib.parse.urlsplit(path).path.strip("/").split("/")
        if ".blob." in host:
            parts.insert(0, host.split(".")[0])
        account, container = (parts + ["", ""])[:2]
        for grant in self.azure["grants"]:
            if (
                grant["tenant"] == claims["tid"]
                and grant["account"] == account
                and grant.get("container") in (None, container)
                and (method in ("GET", "HEAD") or grant.get("write"))
            ):
                return
        raise Refused(
            403,
            azure_xml(
                "AuthorizationPermissionMismatch",
                "This request is not authorized to perform this operation using this permission.",
            ),
            {"x-ms-error-code": "AuthorizationPermissionMismatch"},
        )


def google_error(code, message, status, reason=None):
    return {
        "error": {
            "code": code,
            "message": message,
            "status": status,
            "errors": [{"message": message, "domain": "global", "reason": reason or status.lower()}],
        }
    }


def google_xml(error):
    """The same in the words of the XML API."""
    reason = error["errors"][0]["reason"]
    code = {"unauthenticated": "AuthenticationRequired", "forbidden": "AccessDenied"}.get(reason)
    code = code or reason[:1].upper() + reason[1:]
    return f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>{error['message']}</Message></Error>"


def azure_error(error, number, text):
    return {"error": error, "error_description": f"AADSTS{number}: {text}", "error_codes": [number]}


def azure_xml(code, message):
    return f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    world: World

    def log_message(self, *_args):
        pass

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size + 2)[:-2]
            self.rfile.readline()
        entry = {"time": time.time(), "server": self.server.role, "method": self.command, "path": self.path}
        authorization = self.headers.get("Authorization")
        entry |= {"caller": self.world.named(authorization), "tenant": self.world.tenant_of(authorization)}
        entry |= {"signed": authorization is not None, "status": 200}
        # Noted before the answer, so that whoever has heard it finds it noted.
        self.entry = entry
        if not self.path.startswith("/_testbed/"):
            self.world.journal.append(entry)
        try:
            status, result, headers = 200, self.answer(body), {}
        except Refused as refusal:
            status, result, headers = refusal.status, refusal.body, refusal.headers
            entry["status"] = status
        if result is not None:
            self.reply(status, result, headers)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = handle_any

    def reply(self, status, result, headers):
        data = result.encode() if isinstance(result, str) else json.dumps(result).encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/xml" if isinstance(result, str) else "application/json",
            "Content-Length": len(data),
            **headers,
        }.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


class IdentityHandler(Handler):
    def answer(self, body):
        world, url = self.world, urllib.parse.urlsplit(self.path)
        base = ("https" if isinstance(self.connection, ssl.SSLSocket) else "http") + f"://{self.headers['Host']}"
        form = dict(urllib.parse.parse_qsl(body.decode("utf-8", "replace"))) if b"=" in body else {}
        world.shown += [form[name] for name in PROOFS if form.get(name)]
        call = (self.command, url.path)
        target = re.fullmatch(
            r"/v1/projects/-/serviceAccounts/([^:]+):generateAccessToken", urllib.parse.unquote(url.path)
        )
        tenant = re.fullmatch(r"/([^/]+)/oauth2/v2.0/token", url.path)
        if call == ("POST", "/_testbed/apply"):
            return world.apply(json.loads(body))
        if call == ("POST", "/_testbed/revoke"):
            return world.revoke(json.loads(body))
        if call == ("POST", "/_testbed/reset"):
            return world.reset() or {}
        if call == ("GET", "/_testbed/journal"):
            return world.journal
        if call == ("GET", "/_testbed/credentials"):
            return {"issued": world.issued, "shown": world.shown}
        if call == ("POST", "/_testbed/google-key"):
            return world.google_key(json.loads(body)["email"], base + "/token")
        if call == ("POST", "/_testbed/fault"):
            return world.faults.append({"times": 1} | json.loads(body)) or {}
        if call == ("POST", "/token"):
            return world.google_token(form)
        if target:
            return world.generate_access_token(
                self.headers.get("Authorization"), target.group(1), json.loads(body or b"{}")
            )
        if tenant:
            return world.azure_token(tenant.group(1), form)
        if url.path.startswith("/computeMetadata/"):
            return self.metadata(url)
        if url.path.endswith("/.well-known/openid-configuration"):
            name = url.path.split("/")[1]
            return {
                "issuer": f"{base}/{name}/v2.0",
                "token_endpoint": f"{base}/{name}/oauth2/v2.0/token",
                "authorization_endpoint": f"{base}/{name}/oauth2/v2.0/authorize",
            }
        raise Refused(404, {"error": "no such call"})

    def metadata(self, url):
        path, scopes = url.path, dict(urllib.parse.parse_qsl(url.query)).get("scopes", ANY_SCOPE).split(",")
        email = self.world.google["default_account"]
        if self.headers.get("Metadata-Flavor") != "Google" or email is None:
            raise Refused(403, {"error": "Missing Metadata-Flavor:Google header, or no default account"})
        if path.endswith("/token"):
            token, seconds = self.world.mint_google(email, scopes)
            return {"access_token": token, "expires_in": seconds, "token_type": "Bearer"}
        return {"email": email, "aliases": ["default"], "scopes": ["https://www.googleapis.com/auth/cloud-platform"]}


class GateHandler(Handler):
    local = threading.local()

    def answer(self, body):
        hides_missing = self.server.check(self.command, self.path, self.headers)
        upstream = self.server.upstream
        connection = (
            http.client.HTTPSConnection(upstream.hostname, upstream.port, context=ssl._create_unverified_context())
            if upstream.scheme == "https"
            else http.client.HTTPConnection(upstream.hostname, upstream.port)
        )
        try:
            # fake-gcs-server takes any token, and paths of the XML API only under its own host's name.
            dropped = HOP_HEADERS | ({"authorization", "host"} if self.server.role == "gcs" else set())
            headers = {k: v for k, v in self.headers.items() if k.lower() not in dropped}
            if body or self.command in ("PUT", "POST"):
                headers["Content-Length"] = str(len(body))
            connection.request(self.command, self.path, body=body, headers=headers)
            response = connection.getresponse()
            if hides_missing and response.status == 404:
                message = "storage.objects.get denied on resource (or it may not exist)."
                error = google_error(403, message, "PERMISSION_DENIED", "forbidden")["error"]
                raise Refused(403, google_xml(error))
            self.entry["status"] = response.status
            self.send_response_only(response.status)
            chunked = (
                response.getheader("Content-Length") is None
                and self.command != "HEAD"
                and response.status not in (204, 304)
            )
            for name, value in response.getheaders():
                if name.lower() not in HOP_HEADERS:
                    self.send_header(name, value)
            if chunked:
                self.send_header("Connection", "close")
                self.close_connection = True
            self.end_headers()
            while data := response.read(65536):
                self.wfile.write(data)
        finally:
            connection.close()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (ConnectionError, ssl.SSLError)):
            super().handle_error(request, client_address)


def start(role, port, handler, world, upstream=None, tls=None, check=None):
    server = Server(("127.0.0.1", port), type(role, (handler,), {"world": world}))
    server.role, server.check = role, check
    server.upstream = urllib.parse.urlsplit(upstream) if upstream else None
    if upstream and server.upstream.hostname not in ("127.0.0.1", "localhost"):
        sys.exit("the upstream must be on loopback")
    if tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=5900)
    parser.add_argument("--tls-port", type=int, help="the token services over https too: azure-identity wants it")
    parser.add_argument("--gcs-gate", type=int)
    parser.add_argument("--gcs-upstream", default="http://127.0.0.1:4443")
    parser.add_argument("--azure-gate", type=int)
    parser.add_argument("--azure-upstream", default="https://127.0.0.1:10000")
    parser.add_argument("--tls-cert")
    parser.add_argument("--tls-key")
    args = parser.parse_args()
    world = World()
    start("identity", args.port, IdentityHandler, world)
    if args.tls_port:
        start("identity", args.tls_port, IdentityHandler, world, tls=(args.tls_cert, args.tls_key))
    if args.gcs_gate:
        start("gcs", args.gcs_gate, GateHandler, world, args.gcs_upstream, check=world.check_gcs)
    if args.azure_gate:
        start(
            "azure",
            args.azure_gate,
            GateHandler,
            world,
            args.azure_upstream,
            (args.tls_cert, args.tls_key),
            world.check_azure,
        )
    threading.Event().wait()


if __name__ == "__main__":
    main()
