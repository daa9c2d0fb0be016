"""Sequencing runs: folders of Illumina instruments, brought to a bucket by hand or watched."""
