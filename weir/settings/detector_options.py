"""The options of detectors, looked at before anything runs with them.

Why this exists: settings hold these options as they are given, since only a detector knows its own. A bad one that a worker is the first
to meet makes a dead letter of every event of its tenant, or a detector that is owed verdicts and gives none. Importing the detectors
takes about a second, so only what runs them, or is asked whether it could, looks.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from detectors.errors import DetectorError
from stream.settings import DetectorSettings, TenantSettings
from weir.errors import SettingsError
from weir.settings import Loaded, Settings, key_of

__all__ = ["check_detector_options"]


def check_detector_options(loaded: Loaded) -> None:
    """Build each detector with each option that it is given: ``[detectors.options.NAME]``, and every tenant's tables.

    One by one: no option of a tenant depends on another, so what is merged from several patterns is right where each of them is. An
    option that is wrong alone (``weights`` without its digest) is right where all of its detector's are right together. Where the
    detectors' libraries are not installed, as in an image that only serves, nothing runs them, and nothing is looked at.

    Raises
    ------
    SettingsError
        A detector that there is none of, an option that it does not know, a value out of its bounds, or a detector of answers whose
        prompts are not recorded for it; a line for each.
    """
    given = list(_given(loaded.settings))
    settings = loaded.settings.detectors
    added = [name for name in settings.output if name not in DetectorSettings().output]
    if not given and not added:
        return
    try:
        from detectors.registry import create_stream, create_text  # noqa: PLC0415 - about a second
    except ModuleNotFoundError:
        return
    wrong = []
    for place, option, value in given:
        create = create_text if place[0] == "detectors" else create_stream
        try:
            create(place[-1], {option: value} if option else {})
        except DetectorError as error:
            if place[0] == "detectors" and _together(settings.options[place[-1]], place[-1]):
                continue
            key = (*place, option) if option else place
            wrong.append(f"{key_of(key)} ({_source(loaded, key)}) is {value!r}: {error}; mend or unset it")
    for name in added:
        with contextlib.suppress(
            DetectorError
        ):  # what is wrong with its options is told above, of its name where it runs
            wanted = create_text(name, settings.options.get(name)).prompt_characters
            if wanted > settings.context_characters:
                wrong.append(
                    f"detectors.output ({_source(loaded, ('detectors', 'output'))}) names {name}, which compares answers with up to"
                    f" {wanted} characters of their prompts, and detectors.context_characters is {settings.context_characters}: raise it"
                )
    if wrong:
        raise SettingsError("\n".join(wrong))


def _together(options: Mapping[str, Any], name: str) -> bool:
    """Return whether a detector takes all of its options together."""
    from detectors.registry import create_text  # noqa: PLC0415 - about a second, and loaded by now

    try:
        create_text(name, options)
    except DetectorError:
        return False
    return True


def _given(settings: Settings) -> Iterator[tuple[tuple[str, ...], str, Any]]:
    """Yield where each option stands (the last part names its detector), its name and its value."""
    tables: dict[tuple[str, ...], Mapping[str, Any]] = {
        ("detectors", "options", name): options for name, options in settings.detectors.options.items()
    }
    for pattern, own in settings.tenants.items():
        tables |= {
            ("tenants", pattern, name): options
            for name, options in own.items()
            if name not in TenantSettings.model_fields
        }
    for place, options in tables.items():
        if not options:
            yield place, "", {}
        for option, value in options.items():
            yield place, option, value


def _source(loaded: Loaded, key: tuple[str, ...]) -> str:
    """Return where an option was set; a variable may hold a whole table as JSON."""
    prefixes = (".".join(key[:length]) for length in range(len(key), 0, -1))
    return next((loaded.sources[prefix] for prefix in prefixes if prefix in loaded.sources), "default")
