"""A compiler cache that machines share, on real servers: Valkey, and S3 by moto. Two engines stand for two machines."""

from __future__ import annotations

import json

import pytest

from tests.reach.box import FLAVOURS, LOCAL, Box, Seat
from tests.reach.conftest import BASE
from tests.reach.test_flavours import TREE, seat

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.reach]

_BUCKET = """
import boto3
boto3.client("s3", endpoint_url="http://127.0.0.1:15000", region_name="us-east-1",
             aws_access_key_id="x", aws_secret_access_key="y").create_bucket(Bucket="ccache")
"""
_SERVERS = f"""
/opt/devbox/bin/pip install --quiet 'moto[s3,server]'
cd /tmp
setsid valkey-server --bind 0.0.0.0 --port 16379 --protected-mode no --save '' >/dev/null 2>&1 </dev/null &
setsid /opt/devbox/bin/moto_server -H 0.0.0.0 -p 15000 >/dev/null 2>&1 </dev/null &
until curl --silent --output /dev/null http://127.0.0.1:15000/; do sleep 0.1; done
/opt/devbox/bin/python -c '{_BUCKET}'
hostname -i
"""
_S3 = "s3://{bucket}/objects?region=us-east-1&endpoint=http%3A%2F%2F{address}%3A15000&ssl=false"


def cached(at: Seat, kind: str, url: str) -> int:
    """Build from nothing with a cache, and return how many objects came from it."""
    settings = f"DEVBOX_COMPILER_CACHE={kind} DEVBOX_CACHE_REMOTE='{url}' AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=y"
    found = json.loads(at.sh(f"{settings} devbox build --clean --seed-from none --json"))["data"]
    assert found["compiled"] == 4
    return int(found["cached"])


def doctor(at: Seat, kind: str, url: str) -> str:
    """Return what the cache doctor says of a storage."""
    settings = f"DEVBOX_COMPILER_CACHE={kind} DEVBOX_CACHE_REMOTE='{url}' AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=y"
    return at.sh(f"{settings} devbox cache doctor 2>&1 || true")


def test_two_engines_share_a_storage_that_the_doctor_has_proved(box: Box) -> None:
    address = box.sh(_SERVERS).split()[-1]
    one, other = (seat(box, flavour, "shared") for flavour in (LOCAL, FLAVOURS[1]))
    for at in (one, other):
        at.sh(TREE.format(at.folder))
        at.devbox("up", "--yes", "--base-image", BASE)
    storages = [
        ("ccache", f"redis://{address}:16379"),
        ("sccache", f"redis://{address}:16379/1"),
        ("sccache", _S3.format(bucket="ccache", address=address)),
    ]
    for number, (kind, url) in enumerate(storages):
        for at in (one, other):
            # The caches of these machines themselves know nothing of it.
            at.sh(f"for one in src/*.cpp; do echo 'static int more_{number} __attribute__((used));' >>$one; done")
        assert "took an object and gave it back" in doctor(one, kind, url)
        assert [cached(at, kind, url) for at in (one, other)] == [0, 4], url
    assert f"redis://{address}:16380 does not answer" in doctor(one, "ccache", f"redis://{address}:16380")
    wrong = doctor(one, "sccache", _S3.format(bucket="missing", address=address))
    assert "s3://missing/objects" in wrong
    assert "NoSuchBucket" in wrong
    for at in (one, other):
        at.devbox("down", "--volumes", "--yes")
