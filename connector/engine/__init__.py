"""Decides and applies. Data flows one way: pull, decode, match, merge, plan, apply."""
