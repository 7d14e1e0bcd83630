"""Check the options of detectors before a process uses them.

The settings do not check these options, because only a detector knows its options. If a process found a wrong option only when events arrive,
every event of a tenant would become a dead letter. Only processes that need the detectors make this check, because the import takes 0.3 s.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from detectors.errors import ConfigError, DetectorError
from stream.section import TenantTables
from stream.settings import DetectorSettings
from stream.wire import OWN_TENANT
from weir.errors import SettingsError
from weir.settings import Loaded, Settings, as_written, key_of
from weir.settings.settings import TenantTable


def check_detector_options(loaded: Loaded) -> None:
    """Check the options of detectors, of their variants for replays, and of each tenant, and the tenants' ``alerts.threshold``.

    Each option is checked alone, then the options of each stream detector together with those of the other patterns that match the
    pattern. If the libraries of the detectors are not installed (as in an image that only serves), nothing is checked.

    Raises SettingsError with one line per error: an unknown detector or option, a value out of bounds, or a detector that
    does not read the side on which it is enabled, lacks a required option, or needs more characters of the prompt than are recorded.
    """
    options = list(_options(loaded.settings))
    thresholds = list(_thresholds(loaded.settings))
    named = [(side, name) for side in ("input", "output") for name in getattr(loaded.settings.detectors, side)]
    added = [(side, name) for side, name in named if name not in getattr(DetectorSettings(), side)]
    if not options and not thresholds and not added:
        return
    try:
        import detectors.registry  # noqa: F401, PLC0415 - its libraries are an extra
    except ModuleNotFoundError:
        return
    errors = [*_option_errors(loaded, options), *_threshold_errors(loaded, thresholds), *_enabled_errors(loaded, added)]
    errors = errors or list(_merged_errors(loaded))
    if errors:
        raise SettingsError("\n".join(errors))


def _option_errors(loaded: Loaded, options: list[tuple[tuple[str, ...], str, Any]]) -> Iterator[str]:
    from detectors.registry import create, create_stream, create_text  # noqa: PLC0415 - see above

    settings = loaded.settings.detectors
    for table, option, value in options:
        name = table[-1].partition("@")[0]
        of_tenant, of_variant = table[0] == "tenants", table[1] == "variants"
        make = create_stream if of_tenant else create if of_variant else create_text
        try:
            make(name, {option: value} if option else {})
        except DetectorError as error:
            # An option that needs another one (`weights`, its digest) is valid together with all options of its detector.
            together = settings.options.get(name, {}) | settings.variants.get(table[-1], {})
            if not of_tenant and _accepts(make, name, together):
                continue
            key = (*table, option) if option else table
            yield f"{key_of(key)} ({_source(loaded, key)}) is {as_written(value)}: {error}; change or unset it"


def _merged_errors(loaded: Loaded) -> Iterator[str]:
    """Yield an error for each table of a stream detector that no stream reads, whose options are valid alone but not together, or that tests no detector's score."""
    from detectors.registry import TEXT, create_stream  # noqa: PLC0415 - see above

    tenants = loaded.settings.tenants
    tables = TenantTables(tenants)
    for pattern, tenant in tenants.items():
        merged = tables.of(pattern)
        for name in tenant.keys() - TenantTable.model_fields.keys():
            key = key_of(("tenants", pattern, name))
            try:
                made = create_stream(name, merged[name])
            except DetectorError as error:
                yield f"{key}: {error}; change or unset it"
                continue
            scores = {one for one in getattr(made.config, "features", ()) if one.startswith("score_")}
            if wrong := sorted(scores - {f"score_{text}" for text in TEXT}):
                yield f"{key}.features has {wrong[0]!r}: no text detector has this name; choose from {', '.join(TEXT)}"
            if made.own_tenant and not fnmatchcase(OWN_TENANT, pattern):
                yield (
                    f"{key}: {name} reads only the answers to Weir's fixed prompts, which have tenant {OWN_TENANT}; "
                    f"move the options to [tenants.{OWN_TENANT}.{name}]"
                )


def _threshold_errors(loaded: Loaded, keys: list[tuple[str, ...]]) -> Iterator[str]:
    """Yield an error for each threshold of alerts that names no text detector with alerts."""
    from detectors.registry import ALERTING, TEXT  # noqa: PLC0415 - see above

    known = [name for name in ALERTING if name in TEXT]
    for key in keys:
        if key[-1] not in known:
            yield f"{key_of(key)} ({_source(loaded, key)}): no text detector with alerts is named {key[-1]!r}; known are {', '.join(known)}"


def _enabled_errors(loaded: Loaded, added: list[tuple[str, str]]) -> Iterator[str]:
    """Yield an error for each enabled detector that does not exist, does not read this side, lacks an option, or needs more characters of the prompt than are recorded."""
    from detectors.registry import TEXT, create_text  # noqa: PLC0415 - see above

    settings = loaded.settings.detectors
    for side, name in added:
        where = f"detectors.{side} ({_source(loaded, ('detectors', side))}) has {name!r}"
        if name not in TEXT:
            yield f"{where}: no text detector has this name; choose from {', '.join(TEXT)}"
            continue
        if side not in TEXT[name].sides:
            read = {"input": "prompts", "output": "answers"}[TEXT[name].sides[0]]
            yield f"{where}: {name} reads only {read}; move it to detectors.{TEXT[name].sides[0]}"
            continue
        with contextlib.suppress(DetectorError):  # a wrong option is reported already
            detector = create_text(name, settings.options.get(name))
            try:
                detector.check_options()
            except ConfigError as error:
                yield f"{where}: {error}"
            needed = detector.prompt_characters
            if needed and side == "input":
                yield (
                    f"{where}: with its options, {name} compares answers with their prompts, so it would flag no prompt; move it to "
                    f"detectors.output, or set other options in [detectors.options.{name}] (for language: expected)"
                )
            elif needed > settings.context_characters:
                yield (
                    f"{where}, which compares answers with up to"
                    f" {needed} characters of their prompts; detectors.context_characters is {settings.context_characters}: raise it"
                )


def _accepts(make: Callable[[str, Mapping[str, Any]], object], name: str, options: Mapping[str, Any]) -> bool:
    try:
        make(name, options)
    except DetectorError:
        return False
    return True


def _options(settings: Settings) -> Iterator[tuple[tuple[str, ...], str, Any]]:
    """Yield (path of the table, option, value); the path ends with the detector's or variant's name. An empty table has option ""."""
    tables: dict[tuple[str, ...], Mapping[str, Any]] = {
        ("detectors", table, name): options
        for table in ("options", "variants")
        for name, options in getattr(settings.detectors, table).items()
    }
    tenants: Mapping[str, Mapping[str, Any]] = settings.tenants
    for pattern, tenant in tenants.items():
        tables |= {
            ("tenants", pattern, name): options
            for name, options in tenant.items()
            if name not in TenantTable.model_fields
        }
    for table, options in tables.items():
        if not options:
            yield table, "", {}
        for option, value in options.items():
            yield table, option, value


def _thresholds(settings: Settings) -> Iterator[tuple[str, ...]]:
    tenants: Mapping[str, Mapping[str, Any]] = settings.tenants
    for pattern, tenant in tenants.items():
        for name in tenant.get("alerts", {}).get("threshold", {}):
            yield ("tenants", pattern, "alerts", "threshold", name)


def _source(loaded: Loaded, key: tuple[str, ...]) -> str:
    """Return the source of an option; if a variable set its whole table (as JSON), return the table's source."""
    prefixes = (".".join(key[:length]) for length in range(len(key), 0, -1))
    return next((loaded.sources[prefix] for prefix in prefixes if prefix in loaded.sources), "default")
