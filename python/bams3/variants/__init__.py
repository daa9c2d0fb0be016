"""Variants: call anywhere, keep the calls, look at them."""
