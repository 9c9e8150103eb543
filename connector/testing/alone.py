"""A spread without workers, for simulations: the run works off every partition itself."""

from __future__ import annotations

from collections.abc import Sequence

from connector.domain.partitions import Partition
from connector.engine.fan_out import Division


class Alone:
    """Nobody works with the run."""

    def begin(self, _partitions: Sequence[Partition], /) -> None:
        """See the port: nobody is told of them."""

    def awaits(self, _partition: Partition, /) -> bool:
        """See the port."""
        return False

    def end(self) -> None:
        """See the port."""

    def close(self) -> None:
        """See the port."""


def alone(partitions: int) -> Division:
    """A division into so many partitions, however little is pending."""
    return Division(Alone, partitions)
