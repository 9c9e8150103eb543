"""One module for each kind of system, all of the same shape; differences are capabilities."""
