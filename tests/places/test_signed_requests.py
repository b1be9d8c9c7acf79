"""Requests to S3 have the signature that the client of AWS would give them."""

import datetime as dt

import pytest

from migrate.places.signed_requests import Keys, canonical_query, signed_headers

MOMENT = "20260102T030405Z"
KEYS = Keys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")


def expected(method, url, headers, body, keys, monkeypatch):
    """The headers that botocore signs, with its clock at `MOMENT`."""
    from botocore import auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    class Clock(dt.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 1, 2, 3, 4, 5, tzinfo=tz)

        @classmethod
        def utcnow(cls):
            return cls(2026, 1, 2, 3, 4, 5)

    for name in ("datetime", "get_current_datetime"):
        if hasattr(auth, name):
            fake = Clock if name == "datetime" else lambda *_, **__: Clock(2026, 1, 2, 3, 4, 5)
            monkeypatch.setattr(auth, name, fake)
    request = AWSRequest(method, url, dict(headers), body)
    request.context["payload_signing_enabled"] = True
    credentials = Credentials(keys.access, keys.secret, keys.token or None)
    auth.S3SigV4Auth(credentials, "s3", "eu-west-1").add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


@pytest.mark.parametrize(
    ("method", "query", "headers", "body", "token"),
    [
        ("POST", {"uploads": ""}, {}, b"", ""),
        ("PUT", {"partNumber": "2", "uploadId": "a+b/c="}, {"x-amz-copy-source": "/bucket/a%20b"}, b"", "session"),
        ("POST", {"uploadId": "u"}, {}, b"<CompleteMultipartUpload/>", ""),
    ],
)
def test_signatures_are_those_of_botocore(method, query, headers, body, token, monkeypatch):
    url = f"https://s3.eu-west-1.amazonaws.com/bucket/a%20b/c?{canonical_query(query)}"
    keys = Keys(KEYS.access, KEYS.secret, token)
    ours = signed_headers(method, url, headers, body, keys, "eu-west-1", MOMENT)
    theirs = expected(method, url, headers, body, keys, monkeypatch)
    assert theirs["x-amz-date"] == MOMENT
    assert theirs["authorization"] == ours["authorization"]
    assert {name: theirs[name] for name in ours} == ours


def test_keys_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "t")
    assert Keys("a", "s", "t") == Keys.of_environment()
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert None is Keys.of_environment()
