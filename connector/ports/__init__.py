"""The sockets of the engine: what an adapter, a store and a clock must offer."""

from connector.ports.partitions import Spread
from connector.ports.store import Meter, Store, UnitOfWork
from connector.ports.systems import INTERACTIVE, Adapter, Clock, RegistersWebhooks

__all__ = ["INTERACTIVE", "Adapter", "Clock", "Meter", "RegistersWebhooks", "Spread", "Store",
           "UnitOfWork"]
