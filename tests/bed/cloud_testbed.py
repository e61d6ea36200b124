#!/usr/bin/env python3
"""A local AWS with several accounts whose permissions are real: moto behind a gate.

    python3 cloud_testbed.py --port 5600

moto keeps the state (S3, SQS, IAM, STS); the gate in front of it checks what moto does not: SigV4
signatures and presigned URLs, payload hashes and checksums, role trust policies with
sts:ExternalId, identity and bucket policies across accounts, session lifetimes, bucket regions.
/_testbed/ is the control API: manifests, faults, a journal of decisions. README.md has the calls.
"""

import argparse
import base64
import datetime
import fnmatch
import hashlib
import hmac
import io
import ipaddress
import json
import re
import secrets
import threading
import time
import urllib.parse
import zlib
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

import boto3
from botocore.client import Config
from moto.iam.models import iam_backends
from moto.moto_api._internal import moto_api_backend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from moto.sts.models import sts_backends
from werkzeug.serving import WSGIRequestHandler, make_server

PARTITION = "aws"
CLOCK_SKEW = 15 * 60
CHAIN_LIMIT = 3600


class Refused(Exception):
    """An answer the gate gives instead of moto."""

    def __init__(self, status, code, message, headers=None, extra=""):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers, self.extra = headers or {}, extra


@dataclass
class Principal:
    account: str
    arn: str
    root: bool = False
    role_arn: str = ""
    policies: list = field(default_factory=list)
    session_policy: dict | None = None


ANONYMOUS = Principal("", "anonymous")


# ---- policy evaluation ------------------------------------------------------------------------


def as_list(value):
    return value if isinstance(value, list) else [value]


def like(pattern, value, fold=False):
    """IAM wildcards: * and ? only, so brackets are taken as they stand."""
    if fold:
        pattern, value = pattern.lower(), value.lower()
    return fnmatch.fnmatchcase(value, pattern.replace("[", "[[]"))


def in_network(network, address):
    return ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)


OPERATORS = {
    "StringEquals": lambda want, got: want == got,
    "StringEqualsIgnoreCase": lambda want, got: want.lower() == got.lower(),
    "StringLike": like,
    "ArnEquals": like,
    "ArnLike": like,
    "Bool": lambda want, got: str(want).lower() == str(got).lower(),
    "IpAddress": in_network,
    "NumericLessThanEquals": lambda want, got: float(got) <= float(want),
}
NEGATED = {
    "StringNotEquals": "StringEquals",
    "StringNotLike": "StringLike",
    "ArnNotLike": "ArnLike",
    "NotIpAddress": "IpAddress",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
}


def condition_holds(conditions, context):
    context = {key.lower(): value for key, value in context.items() if value is not None}
    for operator, entries in conditions.items():
        base = operator.removesuffix("IfExists")
        for key, wanted in entries.items():
            got = context.get(key.lower())
            if base == "Null":
                if (got is None) != (str(as_list(wanted)[0]).lower() == "true"):
                    return False
            elif got is None:
                if not (operator.endswith("IfExists") or base in NEGATED):
                    return False
            else:
                test = OPERATORS.get(NEGATED.get(base, base))
                if test is None:
                    raise Refused(400, "MalformedPolicyDocument", f"the testbed does not know the operator {operator}")
                if any(test(want, got) for want in as_list(wanted)) == (base in NEGATED):
                    return False
    return True


def principal_matches(element, who):
    """Whether a policy's Principal element names the caller; an account stands for all its principals."""
    if element == "*":
        return True
    if who is ANONYMOUS:
        return "*" in as_list(element.get("AWS", []))
    names = {"*", who.account, f"arn:aws:iam::{who.account}:root", who.arn, who.role_arn} - {""}
    return any(name in names for name in as_list(element.get("AWS", [])))


def evaluate(policy, action, resource, context, who=None):
    """'Deny', 'Allow' or None for one policy document; `who` only for policies that name principals."""
    verdict = None
    for statement in as_list((policy or {}).get("Statement", [])):
        if "NotPrincipal" in statement:
            raise Refused(400, "MalformedPolicyDocument", "the testbed does not know NotPrincipal")
        named = as_list(statement.get("Action", statement.get("NotAction", [])))
        if any(like(a, action, fold=True) for a in named) == ("NotAction" in statement):
            continue
        if "Resource" in statement or "NotResource" in statement:
            named = as_list(statement.get("Resource", statement.get("NotResource")))
            if any(like(r, resource) for r in named) == ("NotResource" in statement):
                continue
        if who is not None and not principal_matches(statement.get("Principal", {}), who):
            continue
        if condition_holds(statement.get("Condition", {}), context):
            if statement["Effect"] == "Deny":
                return "Deny"
            verdict = "Allow"
    return verdict


def identity_verdict(who, action, resource, context):
    verdicts = ["Allow"] if who.root else [evaluate(p, action, resource, context) for p in who.policies]
    verdict = "Deny" if "Deny" in verdicts else "Allow" if "Allow" in verdicts else None
    if who.session_policy is not None and verdict == "Allow":
        verdict = evaluate(who.session_policy, action, resource, context)
    return verdict


def allowed(who, owner, action, resource, context, resource_policy=None):
    """IAM's rule: an explicit deny wins; inside one account either side may allow; across accounts both must."""
    mine = identity_verdict(who, action, resource, context)
    theirs = evaluate(resource_policy, action, resource, context, who)
    if "Deny" in (mine, theirs):
        return False
    if who is ANONYMOUS:
        return theirs == "Allow"
    return (mine == "Allow" or theirs == "Allow") if who.account == owner else (mine == theirs == "Allow")


# ---- who signed the request -------------------------------------------------------------------


@dataclass
class Request:
    """One HTTP request as it arrived, with what its signature claims."""

    environ: dict
    body: bytes

    def __post_init__(self):
        raw = self.environ.get("RAW_URI") or self.environ.get("REQUEST_URI")
        self.path, _, self.query_string = raw.partition("?")
        self.method = self.environ["REQUEST_METHOD"]
        self.query = dict(urllib.parse.parse_qsl(self.query_string, keep_blank_values=True))
        self.headers = {k[5:].replace("_", "-").lower(): v for k, v in self.environ.items() if k.startswith("HTTP_")}
        for key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            if self.environ.get(key):
                self.headers[key.replace("_", "-").lower()] = self.environ[key]
        self.presigned = "X-Amz-Signature" in self.query
        header = self.headers.get("authorization", "")
        if self.presigned:
            claim = {k.removeprefix("X-Amz-"): v for k, v in self.query.items()}
        elif header.startswith("AWS4-HMAC-SHA256 "):
            claim = dict(part.strip().split("=", 1) for part in header.split(" ", 1)[1].split(","))
        else:
            claim = {}
        self.signed = bool(claim)
        self.key_id, self.date, self.region, self.service = "", "", "us-east-1", "s3"
        if claim:
            self.key_id, self.date, self.region, self.service, _ = claim["Credential"].split("/")
            self.signature, self.signed_headers = claim["Signature"], claim["SignedHeaders"].lower().split(";")
        self.token = self.query.get("X-Amz-Security-Token") or self.headers.get("x-amz-security-token")
        self.sent_at = self.query.get("X-Amz-Date") or self.headers.get("x-amz-date", "")

    def payload_hash(self):
        if self.presigned:
            return self.headers.get("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
        return self.headers.get("x-amz-content-sha256") or hashlib.sha256(self.body).hexdigest()

    def expected_signature(self, secret):
        path = urllib.parse.quote(urllib.parse.unquote_to_bytes(self.path), safe="/-_.~")
        pairs = sorted(
            (urllib.parse.quote(k, safe="-_.~"), urllib.parse.quote(v, safe="-_.~"))
            for k, v in urllib.parse.parse_qsl(self.query_string, keep_blank_values=True)
            if k != "X-Amz-Signature"
        )
        headers = "".join(f"{h}:{' '.join(self.headers.get(h, '').split())}\n" for h in self.signed_headers)
        canonical = "\n".join(
            [
                self.method,
                path,
                "&".join(f"{k}={v}" for k, v in pairs),
                headers,
                ";".join(self.signed_headers),
                self.payload_hash(),
            ]
        )
        scope = f"{self.date}/{self.region}/{self.service}/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", self.sent_at, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + secret).encode()
        for part in (*scope.split("/"), text):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return key.hex()


def dechunk(body):
    """The payload and the trailers of an aws-chunked body."""
    payload, position = b"", 0
    while True:
        end = body.index(b"\r\n", position)
        size = int(body[position:end].split(b";")[0], 16)
        if size == 0:
            lines = body[end + 2 :].decode().split("\r\n")
            return payload, dict(line.split(":", 1) for line in lines if ":" in line)
        payload += body[end + 2 : end + 2 + size]
        position = end + 2 + size + 2


def check_payload(request):
    claimed, payload, sums = request.payload_hash(), request.body, dict(request.headers)
    if claimed.startswith("STREAMING-"):
        payload, trailers = dechunk(request.body)
        sums.update(trailers)
    elif re.fullmatch("[0-9a-f]{64}", claimed) and claimed != hashlib.sha256(payload).hexdigest():
        raise Refused(
            400,
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        )
    digests = {
        "content-md5": lambda: hashlib.md5(payload).digest(),
        "x-amz-checksum-sha256": lambda: hashlib.sha256(payload).digest(),
        "x-amz-checksum-sha1": lambda: hashlib.sha1(payload).digest(),
        "x-amz-checksum-crc32": lambda: zlib.crc32(payload).to_bytes(4, "big"),
    }
    if request.method == "PUT":
        for name, digest in digests.items():
            if name in sums and sums[name].strip() != base64.b64encode(digest()).decode():
                raise Refused(400, "BadDigest", f"The {name} you specified did not match the calculated checksum.")


# ---- the gate ---------------------------------------------------------------------------------


class Gate:
    def __init__(self, port):
        self.port, self.moto = port, DomainDispatcherApplication(create_backend_app)
        self.lock = threading.Lock()
        self.settings = {"wrong_region": 301, "clock_offset": 0}
        self.reset()

    def reset(self):
        moto_api_backend.reset()
        self.root_keys, self.journal, self.faults, self.wrong_regions = {}, [], [], {}

    def now(self):
        return time.time() + self.settings["clock_offset"]

    # -- accounts and credentials

    def account(self, account_id):
        """The root key of an account, made on first use."""
        for key_id, (owner, secret) in self.root_keys.items():
            if owner == account_id:
                return key_id, secret
        key_id, secret = "AKIAROOT" + account_id, secrets.token_hex(20)
        self.root_keys[key_id] = (account_id, secret)
        return key_id, secret

    def credentials(self, request):
        """(Principal, secret key) for the access key that a request names."""
        key_id = request.key_id
        if key_id in self.root_keys:
            owner, secret = self.root_keys[key_id]
            return Principal(owner, f"arn:aws:iam::{owner}:root", root=True), secret
        for owner in {account for account, _ in self.root_keys.values()}:
            iam = iam_backends[owner][PARTITION]
            for user in list(iam.users.values()):
                for key in user.access_keys:
                    if key.access_key_id == key_id and key.status == "Active":
                        return Principal(owner, user.arn, policies=self.policies_of(user)), key.secret_access_key
            for session in list(sts_backends[owner][PARTITION].assumed_roles):
                if session.access_key_id != key_id:
                    continue
                if request.token != session.session_token:
                    raise Refused(
                        *((400, "InvalidToken") if request.service == "s3" else (403, "InvalidClientTokenId")),
                        "The provided token is malformed or otherwise invalid.",
                    )
                if self.now() >= session.expiration.replace(tzinfo=datetime.UTC).timestamp():
                    raise Refused(
                        400 if request.service == "s3" else 403, "ExpiredToken", "The provided token has expired."
                    )
                role = iam.get_role_by_arn(session.role_arn)
                return Principal(
                    owner,
                    session.arn,
                    role_arn=session.role_arn,
                    policies=self.policies_of(role),
                    session_policy=json.loads(session.policy) if session.policy else None,
                ), session.secret_access_key
        raise Refused(
            403,
            "InvalidAccessKeyId" if request.service == "s3" else "InvalidClientTokenId",
            "The AWS Access Key Id you provided does not exist in our records.",
        )

    @staticmethod
    def policies_of(holder):
        inline = holder.policies.values() if isinstance(holder.policies, dict) else holder.policies
        documents = [
            p if isinstance(p, str) else p.get("policy_document", p) if isinstance(p, dict) else p.document
            for p in inline
        ]
        documents += [policy.document for policy in holder.managed_policies.values()]
        return [json.loads(d) if isinstance(d, str) else d for d in documents]

    def authenticate(self, request):
        if not request.signed:
            if request.service == "s3" and "x-amz-target" not in request.headers and b"Action=" not in request.body:
                return ANONYMOUS
            raise Refused(403, "MissingAuthenticationToken", "Missing Authentication Token")
        who, secret = self.credentials(request)
        sent = datetime.datetime.strptime(request.sent_at, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC).timestamp()
        if request.presigned and self.now() > sent + int(request.query["X-Amz-Expires"]):
            raise Refused(403, "AccessDenied", "Request has expired")
        if not request.presigned and abs(self.now() - sent) > CLOCK_SKEW:
            raise Refused(
                403,
                "RequestTimeTooSkewed",
                "The difference between the request time and the current time is too large.",
            )
        if not hmac.compare_digest(request.signature, request.expected_signature(secret)):
            raise Refused(
                403,
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided.",
            )
        return who

    # -- authorization; each returns (action, resource, account whose state moto shall use)

    def authorize(self, request, who):
        if request.service == "s3":
            return self.authorize_s3(request, who)
        form = (
            dict(urllib.parse.parse_qsl(request.body.decode("utf-8", "replace"))) if b"Action=" in request.body else {}
        )
        target = request.headers.get("x-amz-target", "")
        name = form.get("Action") or request.query.get("Action") or target.rpartition(".")[2]
        action, resource = f"{request.service}:{name}", "*"
        if action == "sts:AssumeRole":
            return self.authorize_assume_role(request, who, form)
        if action == "sts:GetCallerIdentity":
            return action, resource, who.account
        owner = who.account
        url = (json.loads(request.body or b"{}") if target else form).get("QueueUrl", "")
        if url:
            owner, queue = urllib.parse.urlsplit(url).path.strip("/").split("/")[-2:]
            resource = f"arn:aws:sqs:{request.region}:{owner}:{queue}"
        if not allowed(who, owner, action, resource, self.context(request, who)):
            raise Refused(
                403, "AccessDenied", f"User: {who.arn} is not authorized to perform: {action} on resource: {resource}"
            )
        return action, resource, owner

    def authorize_assume_role(self, request, who, form):
        arn, action = form["RoleArn"], "sts:AssumeRole"
        owner = arn.split(":")[4]
        context = self.context(request, who) | {
            "sts:ExternalId": form.get("ExternalId"),
            "sts:RoleSessionName": form.get("RoleSessionName"),
        }
        denied = Refused(
            403, "AccessDenied", f"User: {who.arn} is not authorized to perform: {action} on resource: {arn}"
        )
        role = next((r for r in list(iam_backends[owner][PARTITION].roles.values()) if r.arn == arn), None)
        if role is None or who is ANONYMOUS:
            raise denied
        trust = evaluate(json.loads(role.assume_role_policy_document), action, arn, context, who)
        mine = identity_verdict(who, action, arn, context)
        if trust != "Allow" or mine == "Deny" or (mine != "Allow" and owner != who.account):
            raise denied
        seconds = int(form.get("DurationSeconds", 3600))
        if who.role_arn and seconds > CHAIN_LIMIT:
            raise Refused(
                400,
                "ValidationError",
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
            )
        if seconds > int(role.max_session_duration or 3600):
            raise Refused(
                400,
                "ValidationError",
                "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            )
        return action, arn, owner

    def authorize_s3(self, request, who):
        bucket_name, key = self.s3_address(request)
        q, method = request.query, request.method
        if not bucket_name:
            action, resource = "s3:ListAllMyBuckets", "*"
        elif not key:
            action = {
                "GET": "s3:GetBucketLocation"
                if "location" in q
                else "s3:GetBucketPolicy"
                if "policy" in q
                else "s3:ListBucket",
                "HEAD": "s3:ListBucket",
                "DELETE": "s3:DeleteBucket",
                "POST": "s3:DeleteObject",
                "PUT": "s3:CreateBucket" if not q else "s3:PutBucket" + next(iter(q)).title(),
            }[method]
            resource = f"arn:aws:s3:::{bucket_name}" + ("/*" if method == "POST" else "")
        else:
            kind = (
                "Object"
                + ("Tagging" if "tagging" in q else "Acl" if "acl" in q else "")
                + ("Version" if "versionId" in q else "")
            )
            action = {
                "GET": f"s3:Get{kind}",
                "HEAD": f"s3:Get{kind}",
                "PUT": f"s3:Put{kind}",
                "POST": "s3:PutObject",
                "DELETE": "s3:AbortMultipartUpload" if "uploadId" in q else f"s3:Delete{kind}",
            }[method]
            resource = f"arn:aws:s3:::{bucket_name}/{key}"
        if not bucket_name or (action == "s3:CreateBucket" and bucket_name not in s3_backends.bucket_accounts):
            if identity_verdict(who, action, resource, {}) != "Allow":
                raise Refused(403, "AccessDenied", "Access Denied")
            return action, resource, who.account
        if bucket_name not in s3_backends.bucket_accounts:
            raise Refused(
                404,
                "NoSuchBucket",
                "The specified bucket does not exist",
                extra=f"<BucketName>{escape(bucket_name)}</BucketName>",
            )
        owner = s3_backends.bucket_accounts[bucket_name][1]
        if request.headers.get("x-amz-expected-bucket-owner", owner) != owner:
            raise Refused(403, "AccessDenied", "Access Denied")
        bucket = s3_backends[owner][PARTITION].buckets[bucket_name]
        if request.signed and request.region != bucket.region_name:
            self.refuse_region(bucket)
        policy = json.loads(bucket.policy) if bucket.policy else None
        context = self.context(request, who) | {"s3:prefix": q.get("prefix", "") if action == "s3:ListBucket" else None}
        may = lambda act, res: allowed(who, owner, act, res, context, policy)
        by_acl = (
            action == "s3:GetObject"
            and self.acl_grants_read(bucket, key, who)
            and evaluate(policy, action, resource, context, who) != "Deny"
            and (who is ANONYMOUS or identity_verdict(who, action, resource, context) == "Allow")
        )
        if not by_acl and not may(action, resource):
            raise Refused(
                403, "AccessDenied", f'User: {who.arn} is not authorized to perform: {action} on resource: "{resource}"'
            )
        if (
            action == "s3:GetObject"
            and key not in bucket.keys
            and not may("s3:ListBucket", f"arn:aws:s3:::{bucket_name}")
        ):
            raise Refused(
                403, "AccessDenied", "Access Denied"
            )  # as AWS hides whether a key exists from who may not list
        return action, resource, owner

    @staticmethod
    def acl_grants_read(bucket, key, who):
        item = bucket.keys.get(key)
        everyone = "http://acs.amazonaws.com/groups/global/AllUsers"
        acl = getattr(item, "acl", None)  # a delete marker has none
        return acl is not None and any(
            (g.id == canonical_id(who.account) or g.uri == everyone)
            and {"READ", "FULL_CONTROL"} & set(grant.permissions)
            for grant in acl.grants
            for g in grant.grantees
        )

    def refuse_region(self, bucket):
        headers = {"x-amz-bucket-region": bucket.region_name}
        if self.wrong_regions.get(bucket.name, self.settings["wrong_region"]) == 301:
            raise Refused(
                301,
                "PermanentRedirect",
                "The bucket you are attempting to access must be addressed using the specified endpoint.",
                headers,
                f"<Endpoint>{bucket.name}.s3.{bucket.region_name}.amazonaws.com</Endpoint><Bucket>{bucket.name}</Bucket>",
            )
        raise Refused(
            400,
            "AuthorizationHeaderMalformed",
            f"The authorization header is malformed; the region is wrong; expecting '{bucket.region_name}'",
            headers,
            f"<Region>{bucket.region_name}</Region>",
        )

    @staticmethod
    def s3_address(request):
        path = urllib.parse.unquote(request.path).lstrip("/")
        host = request.headers["host"].split(":")[0]
        virtual = re.match(r"(.+)\.s3[.-]", host)
        if virtual:
            return virtual.group(1), path
        bucket, _, key = path.partition("/")
        return bucket, key

    def context(self, request, who):
        return {
            "aws:SourceIp": request.environ["REMOTE_ADDR"],
            "aws:SecureTransport": "false",
            "aws:PrincipalArn": who.role_arn or who.arn,
            "aws:PrincipalAccount": who.account or None,
        }

    # -- one request

    def __call__(self, environ, start_response):
        stream = environ["wsgi.input"]
        body = (
            stream.read(int(environ["CONTENT_LENGTH"]))
            if environ.get("CONTENT_LENGTH")
            else (stream.read() if environ.get("wsgi.input_terminated") else b"")
        )
        request = Request(environ, body)
        if request.path.startswith("/_testbed/"):
            return self.control(request, start_response)
        entry = {
            "time": time.time(),
            "method": request.method,
            "path": request.path,
            "service": request.service,
            "key_id": request.key_id,
            "region": request.region,
            "host": request.headers.get("host"),
        }
        if b"Action=AssumeRole" in body:
            form = dict(urllib.parse.parse_qsl(body.decode("utf-8", "replace")))
            entry |= {"role": form.get("RoleArn"), "external_id": form.get("ExternalId")}
            entry |= {"session": form.get("RoleSessionName"), "seconds": form.get("DurationSeconds")}
        try:
            if request.method == "OPTIONS" and request.service == "s3":
                return self.preflight(request, entry, start_response)
            self.apply_fault(request, entry)
            who = self.authenticate(request)
            entry["principal"] = who.arn
            check_payload(request)
            entry["action"], entry["resource"], account = self.authorize(request, who)
        except Refused as refusal:
            entry.update(decision=refusal.code, status=refusal.status)
            self.journal.append(entry)
            return self.answer(request, refusal, start_response)
        environ["wsgi.input"] = io.BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        environ["HTTP_X_MOTO_ACCOUNT_ID"] = account

        def record(status, headers, exc_info=None):
            entry.update(decision="allowed", status=int(status.split()[0]))
            self.journal.append(entry)
            return start_response(status, headers, exc_info)

        return self.moto(environ, record)

    def preflight(self, request, entry, start_response):
        """What a browser is told before it asks: by the bucket's CORS rules alone, whoever signed the URL."""
        bucket_name, _ = self.s3_address(request)
        if bucket_name not in s3_backends.bucket_accounts:
            raise Refused(404, "NoSuchBucket", "The specified bucket does not exist")
        owner = s3_backends.bucket_accounts[bucket_name][1]
        origin = request.headers.get("origin", "")
        method = request.headers.get("access-control-request-method", "")
        for rule in s3_backends[owner][PARTITION].buckets[bucket_name].cors or []:
            origins, methods = as_list(rule.allowed_origins), as_list(rule.allowed_methods)
            if method in methods and any(like(pattern, origin) for pattern in origins):
                entry.update(decision="allowed", status=200, action="s3:Preflight")
                self.journal.append(entry)
                allowed_origin = "*" if "*" in origins else origin
                start_response(
                    "200 OK",
                    [
                        ("Access-Control-Allow-Origin", allowed_origin),
                        ("Access-Control-Allow-Methods", ", ".join(methods)),
                        ("Content-Length", "0"),
                    ],
                )
                return [b""]
        raise Refused(403, "AccessForbidden", "CORSResponse: This CORS request is not allowed.")

    def apply_fault(self, request, entry):
        with self.lock:
            for fault in self.faults:
                if (
                    fault["times"] > 0
                    and fault["service"] in ("*", request.service)
                    and fault["method"] in ("*", request.method)
                    and like(fault["path"], request.path)
                ):
                    fault["times"] -= 1
                    break
            else:
                return
        entry["fault"] = fault["code"]
        time.sleep(fault["delay"])
        if fault["status"]:
            raise Refused(fault["status"], fault["code"], "injected by the testbed", fault["headers"])

    @staticmethod
    def answer(request, refusal, start_response):
        request_id = secrets.token_hex(8)
        if request.headers.get("x-amz-target"):
            kind, text = (
                "application/x-amz-json-1.0",
                json.dumps({"__type": f"com.amazonaws#{refusal.code}", "message": refusal.message}),
            )
        else:
            inner = f"<Code>{refusal.code}</Code><Message>{escape(refusal.message)}</Message>{refusal.extra}"
            kind = "application/xml" if request.service == "s3" else "text/xml"
            text = '<?xml version="1.0" encoding="UTF-8"?>\n' + (
                f"<Error>{inner}<RequestId>{request_id}</RequestId></Error>"
                if request.service == "s3"
                else f"<ErrorResponse><Error><Type>Sender</Type>{inner}</Error><RequestId>{request_id}</RequestId></ErrorResponse>"
            )
        data = b"" if request.method == "HEAD" else text.encode()
        start_response(
            f"{refusal.status} {refusal.code}",
            [
                ("Content-Type", kind),
                ("Content-Length", str(len(data))),
                ("x-amz-request-id", request_id),
                *((k, str(v)) for k, v in refusal.headers.items()),
            ],
        )
        return [data]

    # -- control API

    def control(self, request, start_response):
        name, given = request.path.removeprefix("/_testbed/"), json.loads(request.body or b"{}") | request.query
        try:
            result = getattr(self, f"control_{request.method.lower()}_{name}")(given)
            status = "200 OK"
        except Exception as error:  # told to whoever drives the testbed
            status, result = "400 Bad Request", {"error": f"{type(error).__name__}: {error}"}
        data = json.dumps(result, default=str).encode()
        start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(data)))])
        return [data]

    def control_get_health(self, _given):
        return {"ready": True}

    def control_get_journal(self, given):
        holds = given.get("holds", "")
        return [entry for entry in list(self.journal) if holds in json.dumps(entry)]

    def control_delete_journal(self, _given):
        self.journal.clear()

    def control_post_reset(self, _given):
        self.reset()

    def control_post_settings(self, given):
        if "bucket" in given:
            self.wrong_regions[given["bucket"]] = given["wrong_region"]
            return self.wrong_regions
        unknown = set(given) - set(self.settings)
        if unknown:
            raise ValueError(f"unknown settings {sorted(unknown)}")
        self.settings.update(given)
        return self.settings

    def control_post_faults(self, given):
        fault = {
            "service": "*",
            "method": "*",
            "path": "*",
            "times": 1,
            "status": 503,
            "code": "SlowDown",
            "delay": 0,
            "headers": {},
        } | given
        self.faults.append(fault)
        return self.faults

    def control_delete_faults(self, _given):
        self.faults.clear()

    def control_post_expire(self, given):
        """End the running sessions of one role, or all."""
        ended = 0
        for owner in {account for account, _ in self.root_keys.values()}:
            for session in sts_backends[owner][PARTITION].assumed_roles:
                if given.get("role") in (None, session.role_arn):
                    session.expiration, ended = datetime.datetime(2000, 1, 1), ended + 1
        return {"expired": ended}

    def control_post_trust(self, given):
        """Another trust policy for a role."""
        role = iam_backends[given["role"].split(":")[4]][PARTITION].get_role_by_arn(given["role"])
        role.assume_role_policy_document = json.dumps(given["trust"])
        return {"role": given["role"]}

    def control_post_object(self, given):
        """A large object made here, since few clients sign gigabytes quickly; the answer holds its digest."""
        content = hashlib.shake_128(given["key"].encode()).digest(given["size"])
        owner = s3_backends.bucket_accounts[given["bucket"]][1]
        s3_backends[owner][PARTITION].put_object(given["bucket"], given["key"], content)
        return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    def control_post_apply(self, manifest):
        """Make what a manifest lists; the answer holds the keys of accounts and users."""
        made = {}
        for account in manifest["accounts"]:
            account_id = account["id"]
            key_id, secret = self.account(account_id)
            result = made[account_id] = {
                "access_key_id": key_id,
                "secret_access_key": secret,
                "canonical_id": canonical_id(account_id),
                "users": {},
                "queues": {},
            }
            client = lambda service, region="us-east-1": boto3.client(
                service,
                endpoint_url=f"http://127.0.0.1:{self.port}",
                region_name=region,
                aws_access_key_id=key_id,
                aws_secret_access_key=secret,
                config=Config(signature_version="s3v4" if service == "s3" else None, s3={"addressing_style": "path"}),
            )
            iam = client("iam")
            for user in account.get("users", []):
                iam.create_user(UserName=user["name"])
                for i, policy in enumerate(user.get("policies", [])):
                    iam.put_user_policy(UserName=user["name"], PolicyName=f"p{i}", PolicyDocument=json.dumps(policy))
                iam.create_access_key(UserName=user["name"])
                key = iam_backends[account_id][PARTITION].get_user(user["name"]).access_keys[-1]
                if "key" in user:  # the same keys as in other services, so that one identity serves for all
                    key.access_key_id, key.secret_access_key = user["key"]["id"], user["key"]["secret"]
                result["users"][user["name"]] = {
                    "access_key_id": key.access_key_id,
                    "secret_access_key": key.secret_access_key,
                }
            for role in account.get("roles", []):
                iam.create_role(
                    RoleName=role["name"],
                    AssumeRolePolicyDocument=json.dumps(role["trust"]),
                    MaxSessionDuration=role.get("max_session", 3600),
                )
                for i, policy in enumerate(role.get("policies", [])):
                    iam.put_role_policy(RoleName=role["name"], PolicyName=f"p{i}", PolicyDocument=json.dumps(policy))
            for bucket in account.get("buckets", []):
                region = bucket.get("region", "us-east-1")
                s3 = client("s3", region)
                s3.create_bucket(
                    Bucket=bucket["name"],
                    **({} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}),
                )
                if bucket.get("versions"):
                    s3.put_bucket_versioning(Bucket=bucket["name"], VersioningConfiguration={"Status": "Enabled"})
                if "cors" in bucket:
                    s3.put_bucket_cors(Bucket=bucket["name"], CORSConfiguration={"CORSRules": bucket["cors"]})
                if "policy" in bucket:
                    s3.put_bucket_policy(Bucket=bucket["name"], Policy=json.dumps(bucket["policy"]))
                for key, item in bucket.get("objects", {}).items():
                    item = {"text": item} if isinstance(item, str) else dict(item)
                    body = item.pop("text", "x" * item.pop("size", 0)).encode()
                    s3.put_object(Bucket=bucket["name"], Key=key, Body=body, **item)
            for queue in account.get("queues", []):
                attributes = {k: str(v) for k, v in queue.get("attributes", {}).items()}
                result["queues"][queue["name"]] = client("sqs").create_queue(
                    QueueName=queue["name"], Attributes=attributes
                )["QueueUrl"]
        return made


def canonical_id(account_id):
    """The testbed's canonical user id of an account, for ACL grants."""
    return hashlib.sha256(account_id.encode()).hexdigest()


class QuietHandler(WSGIRequestHandler):
    def log_request(self, *args):
        pass


def serve(port, host="127.0.0.1"):
    """A server that is ready to `serve_forever()`; its `.app` is the Gate."""
    return make_server(host, port, Gate(port), threaded=True, request_handler=QuietHandler)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=5600)
    serve(parser.parse_args().port).serve_forever()
