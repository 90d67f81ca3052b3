import ipaddress

import click
import pytest
from click.testing import CliRunner

from tcptrace.analysis.filters import Filters, filter_options, filters_from

from .tables import CLIENT, SERVER, connections, view

V6 = {**CLIENT, "family": 6, "local_address": "2001:db8::1", "remote_address": "2001:db8::2"}
UNKNOWN = {**CLIENT, "pid": None, "comm": None, "netns": None}
TABLE = connections(CLIENT, SERVER, V6, UNKNOWN)


def net(text):
    return (ipaddress.ip_network(text),)


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        (Filters(), [0, 1, 2, 3]),
        (Filters(port=(80,)), [0, 1, 2, 3]),
        (Filters(local_port=(80,)), [1]),
        (Filters(remote_port=(80, 81)), [0, 2, 3]),
        (Filters(pid=(100,)), [0, 2]),
        (Filters(comm=("nginx",)), [1]),
        (Filters(comm=("nginx", "curl")), [0, 1, 2]),
        (Filters(netns=(4026531840,)), [0, 1, 2]),
        (Filters(family=(6,)), [2]),
        (Filters(address=net("10.0.0.0/8")), [0, 1, 3]),
        (Filters(address=net("2001:db8::/32")), [2]),
        (Filters(address=net("10.0.0.0/8"), comm=("nginx",)), [1]),
        (Filters(port=(9,)), []),
    ],
)
def test_filters_keep_what_passes_all_of_them(filters, kept):
    assert TABLE["connection"][filters.mask(TABLE)].tolist() == kept


def test_long_names_are_compared_as_the_kernel_cuts_them():
    table = connections({**CLIENT, "comm": "systemd-resolve"})
    assert Filters(comm=("systemd-resolved",)).mask(table).all()


def test_a_time_wait_goes_with_its_connection():
    seen = view(CLIENT, {**CLIENT, "comm": "wget"}, filters=Filters(comm=("wget",)))
    assert seen.time_wait["connection"].tolist() == [1]


def test_filters_are_written_as_typed():
    filters = Filters(port=(80,), address=net("10.0.0.0/8"), family=(4,), local_port=(1,))
    assert str(filters) == "--port 80 --local-port 1 --address 10.0.0.0/8 -4"


@click.command
@filter_options
def show(**options):
    click.echo(str(filters_from(options)))


@pytest.mark.parametrize(
    "arguments",
    [
        "--port 80 --port 443",
        "--remote-port 1 --address 10.0.0.0/8 --address ::1/128",
        "--pid 1 --comm x --netns 2 -6",
        "",
    ],
)
def test_options_become_filters(arguments):
    assert CliRunner().invoke(show, arguments.split()).output.strip() == arguments


def test_a_bad_network_is_wrong_usage():
    result = CliRunner().invoke(show, ["--address", "10.0.0.300"])
    assert result.exit_code == 2
    assert "no address or network" in result.output
