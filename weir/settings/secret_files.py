"""Read settings from files: ``WEIR_<SECTION>__<KEY>_FILE`` names a file with the value, such as a container secret.

Users who can list processes or inspect a container can read environment variables. A file's mode protects its content.
"""

from collections.abc import Mapping
from pathlib import Path

from weir.errors import SettingsError

#: Prefix of the environment variables that set a key.
PREFIX = "WEIR_"
#: No settings key ends with this suffix.
SUFFIX = "_FILE"


def files_of(environment: Mapping[str, str]) -> dict[str, str]:
    """Return {dotted key, such as ``kafka.sasl_password``: variable} for the variables that name a file."""
    names = [name for name in environment if name.startswith(PREFIX) and name.endswith(SUFFIX)]
    return {name.removeprefix(PREFIX).removesuffix(SUFFIX).lower().replace("__", "."): name for name in names}


def read_files(environment: Mapping[str, str]) -> dict[str, str]:
    """Return {variable without ``_FILE``: content of the file without trailing newlines}; raises SettingsError."""
    values: dict[str, str] = {}
    for key, name in files_of(environment).items():
        direct = name.removesuffix(SUFFIX)
        if direct in environment:
            raise SettingsError(f"{key} is set by {direct} and by {name}; unset one of them")
        values[direct] = _read(name, environment[name])
    return values


def _read(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise SettingsError(
            f"{name} names {path}, which cannot be read ({reason}); correct the path or its mode"
        ) from None
