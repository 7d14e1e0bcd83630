"""One gateway for all client libraries of a test process."""

from support.client_fixtures import check_agent_records, gateway, running_gateway, scripted, upstream

__all__ = ["check_agent_records", "gateway", "running_gateway", "scripted", "upstream"]
