"""Recordings of several machines, put together: both ends of the connections between them."""

from tcptrace.analysis.hosts.ends import Ends, ends_of
from tcptrace.analysis.hosts.pairing import Pairing, pair, pairings

__all__ = ["Ends", "Pairing", "ends_of", "pair", "pairings"]
