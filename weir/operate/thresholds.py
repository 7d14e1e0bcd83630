"""Thresholds of alerts: propose them from reviews, and write one to the settings file.

A text detector has one threshold for every tenant (`[detectors.options.NAME] threshold`), at which its verdicts are flagged. The alerts of a
tenant can have a higher one (`[tenants."NAME".alerts] threshold`). Proposals are about the threshold of alerts.
"""

import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from detectors.registry import ALERTING, TEXT, create_text
from stream.files import replace_file
from stream.ledger.queries.ledger_reader import LedgerReader
from stream.ledger.queries.reviews import ReviewedAlert
from stream.ledger.queries.threshold_proposal import Proposal, propose, unproposed
from stream.settings import tenant_settings
from weir.errors import SettingsError
from weir.settings import Loaded, Settings, key_of


def proposals(
    settings: Settings, *, tenant: str = "", detector: str = "", target: float, since: float = 0.0
) -> list[Proposal]:
    """Return a proposal for each tenant and detector with reviewed alerts that opened at or after `since`; "" means all.

    Raises SettingsError if no detector with alerts is named `detector`.
    """
    if detector and detector not in ALERTING:
        raise SettingsError(f"no detector with alerts is named {detector!r}: choose one of {', '.join(ALERTING)}")
    reviewed: dict[tuple[str, str], list[ReviewedAlert]] = defaultdict(list)
    for alert in LedgerReader(settings.home / "ledger").reviewed_alerts(tenant, since):
        if detector in {"", alert.detector}:
            reviewed[alert.tenant, alert.detector].append(alert)
    if tenant and detector:
        reviewed.setdefault((tenant, detector), [])
    return [_proposal(settings, *key, alerts, target) for key, alerts in sorted(reviewed.items())]


def _proposal(settings: Settings, tenant: str, detector: str, alerts: list[ReviewedAlert], target: float) -> Proposal:
    present = threshold_of(settings, tenant, detector)
    if present is not None:
        return propose(tenant, detector, alerts, present=present, target=target)
    reason = "its alerts do not depend on a threshold of the score"
    return unproposed(tenant, detector, alerts, target=target, reason=reason)


def threshold_of(settings: Settings, tenant: str, detector: str) -> float | None:
    """Return the lowest score of a finding that opens an alert of `tenant`, or None if `detector` has no threshold."""
    if detector not in TEXT:
        return None
    built: Any = create_text(detector, settings.detectors.options.get(detector, {}))
    own = getattr(built.config, "threshold", 0.0) or getattr(built, "threshold", 0.0)
    alerts = tenant_settings(settings.tenants, tenant).alerts
    return max(float(own), alerts.threshold.get(detector, 0.0)) if own else None


def write_threshold(loaded: Loaded, proposal: Proposal) -> Path:
    """Write the proposed threshold to the settings file, and return its path; comments and order are kept.

    Without a file, `weir.toml` is created in the current folder. Raises SettingsError if nothing is proposed, if an
    environment variable or a later table overrides the file, or if the file cannot be changed.
    """
    if proposal.proposed is None:
        raise SettingsError(f"{proposal.tenant}, {proposal.detector}: nothing to write: {proposal.reason}")
    key = ("tenants", proposal.tenant, "alerts", "threshold", proposal.detector)
    for length in range(1, len(key) + 1):
        source = loaded.sources.get(".".join(key[:length]), "")
        if source.startswith("environment"):
            raise SettingsError(f"{key_of(key)} is set by {source}, which overrides the file; change it there")
    path = loaded.config_path or Path("weir.toml").resolve()
    value = proposal.proposed.threshold
    try:
        text = _with_value(path.read_text(encoding="utf-8") if path.exists() else "", key, value)
        given = tenant_settings(tomllib.loads(text).get("tenants", {}), proposal.tenant).alerts.threshold
        if given.get(proposal.detector) != value:
            raise SettingsError(
                f"a later table of {path} sets alerts.threshold of tenant {proposal.tenant} to {given}; set {key_of(key)} = {value} below it"
            )
        replace_file(path, text, mode=path.stat().st_mode & 0o777 if path.exists() else 0o600)
    except (OSError, TOMLKitError, TypeError, ValueError) as error:
        raise SettingsError(f"{path} cannot be changed: {error}; set {key_of(key)} = {value} by hand") from error
    return path


def _with_value(text: str, key: tuple[str, ...], value: float) -> str:
    """Return the TOML document `text` with `value` at `key`; tables that are missing are added at the end.

    Raises ValueError if tomlkit writes them elsewhere, as it does below a table with dotted keys.
    """
    document = tomlkit.parse(text)
    table: Any = document
    *tables, name = key
    for depth, part in enumerate(tables):
        if part not in table:
            # Only the table of the tenant's alerts needs a header of its own.
            table[part] = tomlkit.table(is_super_table=depth < len(tables) - 1)
        table = table[part]
        if not hasattr(table, "items"):
            raise TypeError(f"{key_of(key[: depth + 1])} is not a table")
    table[name] = value
    changed = tomlkit.dumps(document)
    written: Any = tomllib.loads(changed)
    for part in key:
        written = written.get(part, {})
    if written != value:
        raise ValueError(f"{key_of(key[:-1])} cannot be added to tables with dotted keys")
    return changed
