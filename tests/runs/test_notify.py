"""Messages to Slack: their texts, how they are posted, and that failures are only logged."""

from __future__ import annotations

import pytest

from bams3.runs import notify
from tests.servers.slack import Slack

DONE = ":white_check_mark:  *S3 Upload*: Successfully uploaded "
FAILED = ":x:  *S3 Upload*: Failed uploading "


def test_singular() -> None:
    assert notify.result_text(["a"]) == f"{DONE}1 run\n\t\t• a"
    assert notify.result_text(failed=["a"]) == f"{FAILED}1 run\n\t\t• a"


def test_plural() -> None:
    assert notify.result_text(["a", "b"]) == f"{DONE}2 runs\n\t\t• a\n\t\t• b"
    assert notify.result_text(failed=["a", "b"]) == f"{FAILED}2 runs\n\t\t• a\n\t\t• b"


def test_both() -> None:
    expected = f"{DONE}1 run\n\t\t• a\n\n{FAILED}2 runs\n\t\t• b\n\t\t• c"
    assert notify.result_text(["a"], ["b", "c"]) == expected


def test_post_arguments() -> None:
    with Slack() as slack:
        assert notify.post(slack.url, "text • ä")
    headers, body = slack.requests[0]
    assert headers["content-type"] == "application/json"
    assert body == {"text": "text • ä"}
    assert notify.TIMEOUT == 30


@pytest.mark.parametrize("status", [400, 404, 500, 204])
def test_other_answers_are_logged(status: int, caplog: pytest.LogCaptureFixture) -> None:
    with Slack(status) as slack:
        assert not notify.post(slack.url, "text")
    assert len(slack.requests) == 1
    assert str(status) in caplog.text


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/secret", "no address", "log_webhook"])
def test_exceptions_are_logged(url: str, caplog: pytest.LogCaptureFixture) -> None:
    assert not notify.post(url, "text")
    assert "not delivered" in caplog.text
    assert "secret" not in caplog.text
