"""Customer keys: forms, derivation, files, and that they are never shown."""

from __future__ import annotations

import base64
import math
import stat
import traceback
from collections import Counter
from pathlib import Path

import pytest

from bams3.errors import KeyRejectedError, NotFoundError, UsageError
from bams3.storage.objects import CustomerKey
from bams3.transfer.keys import GivenKey, generate_key, read_key, redacted

MASTER = "-0123456789012345678901234567890"
# Made with S3AM 2.1's own formula, and its own code where it still runs.
VECTORS = """
us-east-1 b dir/f 47848ae8e3b967b7361ece22e6f94e391a1e3806188852d0f89fd125637319b6 culL+q+uxK5//YJFRNjf2w==
eu-west-1 b dir/f 1c76122d78a3a7ed9513c14b56fc7bd552f1ae81f76654fd08c838c4e47ce5ee AQCInh7uY7plqeBNyE4FnA==
us-west-1 b dir/f 932ea34a19291a27bdbfc8fe4d9f300469b42b4fd9b41508d6eea0f403e00354 0uqhZiMTx9uSWreFHJrCng==
us-west-1 s3am-unit-tests.foo test-1.bin 38e91070f5c72434146c0cec532491a66bc752e845fd7d163b96104fdcedc6a5 XpRkZgXFISkjjG9qbMQE3w==
us-east-1 b dir/a|b%20+c dd84d895fdc52bc86a2c6be953c1594c7ca61306f357257a7d9464863e724665 ymfjHJxxlqYqvgkoIfd0HA==
"""  # noqa: E501
OLD_EU = "02f5a3993c1a770250492eecaf0b78ed39e866e6e2462b850909d6c0ca060c58"


def master() -> GivenKey:
    key = read_key(MASTER, is_master=True)
    assert key is not None
    return key


@pytest.mark.parametrize("line", VECTORS.split("\n")[1:-1])
def test_object_keys_are_those_of_s3am(line: str) -> None:
    region, bucket, key, derived, md5 = line.split()
    found = master().of(region, bucket, key.replace("|", " "))
    assert found.key.hex() == derived
    assert found.headers()["x-amz-server-side-encryption-customer-key-md5"] == md5


@pytest.mark.parametrize("region", ["eu-west-1", "EU"])
def test_both_spellings_of_ireland_are_read_and_the_new_one_is_written(region: str) -> None:
    new = VECTORS.split("\n")[2].split()[3]
    assert [key.key.hex() for key in master().candidates(region, "b", "dir/f")] == [new, OLD_EU]
    assert master().of(region, "b", "dir/f").key.hex() == new


@pytest.mark.parametrize("region", ["", "us-east-1"])
def test_the_first_region_has_two_names(region: str) -> None:
    assert master().of(region, "b", "dir/f").key.hex().startswith("47848ae8")


def test_a_plain_key_is_the_key_of_every_object() -> None:
    secret = CustomerKey(bytes(range(32)))
    assert GivenKey(secret).of("eu-west-1", "b", "k") is secret
    assert GivenKey(secret).candidates("EU", "b", "k") == [secret]


def test_headers() -> None:
    key = read_key(MASTER)
    assert key is not None
    prefix = "x-amz-server-side-encryption-customer-"
    assert key.secret.headers() == {
        f"{prefix}algorithm": "AES256",
        f"{prefix}key": "LTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTA=",
        f"{prefix}key-md5": "QR94mW+9b2vD+G517vjBYQ==",
    }
    source = "x-amz-copy-source-server-side-encryption-customer-"
    assert [*key.secret.headers(source=True)] == [
        f"{source}{end}" for end in ("algorithm", "key", "key-md5")
    ]


def test_three_forms_one_key(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(MASTER.encode())
    in_base64 = base64.b64encode(MASTER.encode()).decode()
    assert read_key(MASTER) == read_key(file=file) == read_key(base64_text=in_base64)
    assert read_key() is None
    binary = bytes(range(200, 232))
    file.write_bytes(binary)
    key = read_key(file=file)
    assert key is not None and key.secret.key == binary


@pytest.mark.parametrize("length", [0, 1, 31, 33, 64])
def test_other_lengths_are_refused_in_every_form(length: int, tmp_path: Path) -> None:
    text = "k" * length
    file = tmp_path / "key"
    file.write_text(text)
    in_base64 = base64.b64encode(text.encode()).decode()
    for given in ({"text": text}, {"file": str(file)}, {"base64_text": in_base64}):
        with pytest.raises(KeyRejectedError) as caught:
            read_key(**given)
        assert caught.value.exit_code == 10
        assert str(length) in str(caught.value) or "more than 32" in str(caught.value)


def test_a_newline_at_the_end_of_a_key_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("k" * 32 + "\n")
    with pytest.raises(KeyRejectedError) as caught:
        read_key(file=file)
    assert "newline" in str(caught.value.hint)


def test_what_is_no_key(tmp_path: Path) -> None:
    with pytest.raises(KeyRejectedError, match="not base64"):
        read_key(base64_text="ä" * 44)
    with pytest.raises(KeyRejectedError, match="not base64"):
        read_key(base64_text="!" * 44)
    with pytest.raises(NotFoundError, match="no such key file"):
        read_key(file=tmp_path / "nothing")
    with pytest.raises(KeyRejectedError, match="directory"):
        read_key(file=tmp_path)
    with pytest.raises(UsageError, match="twice"):
        read_key(MASTER, base64_text="x")


def test_t18_a_master_without_a_key_is_not_ignored() -> None:
    with pytest.raises(UsageError, match="master"):
        read_key(is_master=True)


def test_t21_a_key_is_never_shown() -> None:
    secret = "0123456789abcdefghijklmnopqrstuv"
    key = read_key(secret, is_master=True)
    assert key is not None
    derived = key.of("us-east-1", "b", "k")
    shown = f"{key!r} {key} {derived!r} {derived} {[key]} {redacted(derived.headers())}"
    shown += str(redacted(derived.headers(source=True)))
    forms = [secret, secret.encode().hex(), base64.b64encode(secret.encode()).decode()]
    forms += [derived.headers()["x-amz-server-side-encryption-customer-key"], str(derived.key)]
    assert not [form for form in forms if form in shown]
    for bad in ({"text": secret + "!"}, {"base64_text": secret + "!"}):
        with pytest.raises(KeyRejectedError) as caught:
            read_key(**bad)
        assert secret not in "".join(traceback.format_exception(caught.value)) + repr(caught.value)


def test_redacted_hides_what_grants_access_and_nothing_else() -> None:
    headers = {
        "Authorization": "AWS4 x",
        "X-Amz-Security-Token": "t",
        "Host": "h",
        "x-amz-acl": "a",
    }
    hidden = "(hidden)"
    assert redacted(headers) == headers | dict.fromkeys([*headers][:2], hidden)


def test_scenario_14_generated_keys(tmp_path: Path) -> None:
    seen = set()
    for number in range(10):
        file = tmp_path / str(number)
        generate_key(file)
        secret = file.read_bytes()
        counts = Counter(secret).values()
        assert len(secret) == 32
        assert -sum(n / 32 * math.log2(n / 32) for n in counts) > 3
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        seen.add(secret)
    assert len(seen) == 10


def test_t21_a_key_is_replaced_only_when_told(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"old")
    file.chmod(0o644)
    with pytest.raises(UsageError, match="exists already"):
        generate_key(file)
    assert file.read_bytes() == b"old"
    generate_key(file, overwrite=True)
    assert len(file.read_bytes()) == 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [*tmp_path.iterdir()] == [file]
    with pytest.raises(UsageError, match="cannot be written"):
        generate_key(tmp_path / "none" / "key")
