"""Which service a connection belongs to, and how endpoints are written."""

import pandas as pd

#: What stands for "any port": the ports clients pick change with every connection.
ANY_PORT = "*"


def endpoint(address: str | None, port: int | str | None) -> str:
    """Write an address and a port as RFC 3986 and RFC 5952 do: ``[::1]:80``."""
    shown = ANY_PORT if port is None or pd.isna(port) else port
    if address is None or pd.isna(address):
        return f"?:{shown}"
    return f"[{address}]:{shown}" if ":" in str(address) else f"{address}:{shown}"


def service_ports(connections: pd.DataFrame, ephemeral: tuple[int, int] | None) -> pd.DataFrame:
    """Keep the port that names a service, blank the one that was picked at random.

    A client's own port and a server's remote port are random. Where the role is
    unknown (a connection older than the recording), a port is kept if it lies outside
    ``ephemeral``, the recorded net.ipv4.ip_local_port_range; with no range, both are.
    Returns nullable integers: ``service_local_port``, ``service_remote_port``.
    """
    role = connections["role"]
    unknown = ~role.isin(["client", "server"])
    kept = {}
    for side, owner in (("local", "server"), ("remote", "client")):
        port = connections[f"{side}_port"].astype("Int64")
        keep = role == owner
        if ephemeral is None:
            keep |= unknown
        elif unknown.any():
            keep |= unknown & ~port.between(*ephemeral).fillna(False).astype(bool)
        kept[f"service_{side}_port"] = port.where(keep)
    return pd.DataFrame(kept)


def ephemeral_range(header: dict[str, object]) -> tuple[int, int] | None:
    """Read net.ipv4.ip_local_port_range from a recording's header; None if unknown."""
    settings = header.get("sysctl")
    value = settings.get("ip_local_port_range") if isinstance(settings, dict) else None
    parts = value.split() if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or len(parts) != 2:
        return None
    try:
        return int(parts[0]), int(parts[1])
    except (TypeError, ValueError):
        return None


def setting(header: dict[str, object], name: str) -> int | None:
    """Read one integer net.ipv4 setting from a recording's header; None if unknown."""
    settings = header.get("sysctl")
    value = settings.get(name) if isinstance(settings, dict) else None
    try:
        return int(str(value))
    except ValueError:
        return None
