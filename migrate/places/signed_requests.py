"""Requests to S3 with a signature of version 4, for what obstore and TensorStore do not request."""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from migrate.places.objects import BucketName, s3_server

_ATTEMPTS = 6
_SECONDS = 120.0
"""How often a request is sent, and how long an answer may take: the server answers once a part is copied."""
_FIRST_DELAY = 0.25
_REPEATED = frozenset({408, 429, 500, 502, 503, 504})
_KEPT = "-_.~"


class RequestError(Exception):
    """A request that S3 refused or did not answer."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of an account.

    Attributes:
      access: the public key.
      secret: the secret key.
      token: the token of a session; empty without one.
    """

    access: str
    secret: str
    token: str = ""

    @classmethod
    def of_environment(cls) -> Keys | None:
        """Returns the keys in the environment; None without them."""
        access, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
        return cls(access, secret, os.environ.get("AWS_SESSION_TOKEN", "")) if access and secret else None


@dataclass(frozen=True, slots=True)
class SignedRequests:
    """Sends requests about one bucket.

    Attributes:
      bucket: the bucket.
      keys: the keys that sign.
    """

    bucket: BucketName
    keys: Keys

    def send(
        self,
        method: str,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> bytes:
        """Sends a request about an object until it is answered; returns the content of the answer.

        Args:
          method: its method.
          key: the key of the object.
          query: the parameters.
          headers: headers whose names begin with `x-amz-`.
          body: its content.

        Raises:
          RequestError: the server refuses it or does not answer.
        """
        import urllib.request

        endpoint, region = s3_server()
        region = region or "us-east-1"
        host = endpoint or f"https://s3.{region}.amazonaws.com"
        url = f"{host.rstrip('/')}/{self.bucket.name}/{quote(key, safe='/' + _KEPT)}?{canonical_query(query)}"

        def once() -> bytes:
            moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
            signed = signed_headers(method, url, headers or {}, body, self.keys, region, moment)
            all_headers = {**signed, "content-type": "application/xml"}
            request = urllib.request.Request(url, data=body or None, headers=all_headers, method=method)  # noqa: S310
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310 (an endpoint of S3)
                content: bytes = answer.read()
            if b"<Error>" in content[:1024]:  # S3 begins to answer a long request before it knows the outcome
                raise RequestError(_reason(content))
            return content

        return _repeated(once)


def _repeated(once: Callable[[], bytes]) -> bytes:
    from urllib.error import HTTPError

    for attempt in range(_ATTEMPTS):
        try:
            return once()
        except HTTPError as error:
            failure = RequestError(f"HTTP {error.code}: {_reason(error.read())}")
            if error.code not in _REPEATED:
                raise failure from error
        except RequestError as error:
            failure = error
        except OSError as error:
            failure = RequestError(f"{type(error).__name__}: {error}")
        if attempt < _ATTEMPTS - 1:
            time.sleep(_FIRST_DELAY * 2**attempt)
    raise failure


def _reason(content: bytes) -> str:
    text = content.decode(errors="replace")
    parts = [text.partition(f"<{name}>")[2].partition("<")[0] for name in ("Code", "Message")]
    return ": ".join(filter(None, parts)) or text[:200]


def canonical_query(query: Mapping[str, str]) -> str:
    """Returns parameters in the form that is signed."""
    return "&".join(f"{quote(name, safe=_KEPT)}={quote(value, safe=_KEPT)}" for name, value in sorted(query.items()))


def signed_headers(
    method: str, url: str, headers: Mapping[str, str], body: bytes, keys: Keys, region: str, moment: str
) -> dict[str, str]:
    """Returns the headers of a request with its signature.

    Args:
      method: its method.
      url: its URL, whose parameters are in canonical form.
      headers: headers that are signed, by their names in lower case.
      body: its content.
      keys: the keys that sign.
      region: the region of the bucket.
      moment: the time, such as `20260101T000000Z`.
    """
    parts, digest = urlsplit(url), hashlib.sha256(body).hexdigest()
    all_headers = {"host": parts.netloc, "x-amz-content-sha256": digest, "x-amz-date": moment, **headers}
    if keys.token:
        all_headers["x-amz-security-token"] = keys.token
    names = ";".join(sorted(all_headers))
    lines = "".join(f"{name}:{all_headers[name].strip()}\n" for name in sorted(all_headers))
    canonical = "\n".join((method, parts.path, parts.query, lines, names, digest))
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    text = "\n".join(("AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    secret = f"AWS4{keys.secret}".encode()
    for part in scope.split("/"):
        secret = hmac.digest(secret, part.encode(), "sha256")
    signature = hmac.digest(secret, text.encode(), "sha256").hex()
    credential = f"Credential={keys.access}/{scope}"
    all_headers["authorization"] = f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, Signature={signature}"
    del all_headers["host"]
    return all_headers
