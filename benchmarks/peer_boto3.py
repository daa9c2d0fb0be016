"""boto3's managed transfer as a command: up, down or folder, ENDPOINT, PATH, KEY."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config


def main() -> None:
    """Do what is asked for, with many requests at once."""
    verb, endpoint, path, key = sys.argv[1:]
    config = Config(max_pool_connections=64, s3={"addressing_style": "path"})
    client = boto3.client("s3", endpoint_url=endpoint, config=config)
    how = TransferConfig(multipart_chunksize=16 << 20, max_concurrency=16)
    if verb == "up":
        client.upload_file(path, "bench", key, Config=how)
    elif verb == "down":
        client.download_file("bench", key, path, Config=how)
    else:
        files = [file for file in Path(path).rglob("*") if file.is_file()]
        one = TransferConfig(multipart_chunksize=16 << 20, use_threads=False)

        def send(file: Path) -> None:
            client.upload_file(str(file), "bench", f"{key}/{file.relative_to(path)}", Config=one)

        with ThreadPoolExecutor(32) as pool:
            list(pool.map(send, files))


if __name__ == "__main__":
    main()
