"""Shipped for authors of adapters and stores: the suites that hold them to their promises."""
