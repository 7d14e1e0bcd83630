"""One gateway for the clients that `.ci/run` does not run."""

from support.client_fixtures import check_agent_records, gateway, running_gateway, scripted, upstream

__all__ = ["check_agent_records", "gateway", "running_gateway", "scripted", "upstream"]
