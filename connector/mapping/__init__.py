"""Declarative field mappings between a system's words and canonical ones, compiled once."""
