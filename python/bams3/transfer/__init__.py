"""Transfer: one huge object or many files, up, down and across, in bounded memory, proven.

>>> from bams3.storage.bucket import Bucket
>>> from bams3.transfer import FileSource, Settings, upload
>>> upload(FileSource("run.tar"), Bucket("lab"), "runs/run.tar")     # doctest: +SKIP
Outcome(source='run.tar', destination='s3://lab/runs/run.tar', ...)
"""

from bams3.storage.objects import Attributes, CustomerKey
from bams3.transfer.copy import copy
from bams3.transfer.download import download
from bams3.transfer.files import FileSource
from bams3.transfer.folder import Item, upload_many
from bams3.transfer.settings import Outcome, Progress, Settings, Silent, Totals
from bams3.transfer.sources import Source
from bams3.transfer.upload import upload

__all__ = [
    "Attributes",
    "CustomerKey",
    "FileSource",
    "Item",
    "Outcome",
    "Progress",
    "Settings",
    "Silent",
    "Source",
    "Totals",
    "copy",
    "download",
    "upload",
    "upload_many",
]
