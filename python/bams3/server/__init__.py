"""The server: byte ranges, htsget and a page over what lies in buckets and folders."""
