"""Genomics on object storage."""
