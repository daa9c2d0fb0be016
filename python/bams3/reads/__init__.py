"""Alignments: datasets that replace BAM files."""
