"""Tells people what is not well: looks at the figures, and sends what is new or over."""
