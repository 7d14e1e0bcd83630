"""Defaults of settings: only the settings modules contain them."""

import ast
from pathlib import Path

from pydantic import BaseModel

from stream.settings import TenantSettings
from weir.settings import Settings

ROOT = Path(__file__).parents[3]
PACKAGES = ("stream", "serving", "weir")
#: Values that are not compared, because many other parameters have them: absent, empty, or a neutral word.
NEUTRAL = (None, "", 0, False, True, "auto", (), {}, [])
#: Allowed parameters and fields with the name and default of a setting, each with the reason.
EXCEPTIONS = {
    ("stream/ledger/decisions.py", "silence_seconds"): "a heartbeat that an older ledger wrote has no such field",
    ("stream/replay/plan.py", "windows"): "how far apart two alerts of a replay match, not a gate of retraining",
    ("stream/telemetry.py", "host"): "a listener is on loopback unless its caller says otherwise",
}


def settings_by_name(model=None):
    """Return {key: defaults} of all sections."""
    found = {}
    for section in (model,) if model else (Settings, TenantSettings):
        for name, field in section.model_fields.items():
            kind = field.annotation
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                for key, values in settings_by_name(kind).items():
                    found.setdefault(key, []).extend(values)
            else:
                found.setdefault(name, []).append(field.get_default(call_default_factory=True))
    return found


def value_of(node):
    """Return the value of a constant expression (``512 * 1024``), or an object that equals nothing."""
    try:
        return eval(compile(ast.Expression(node), "", "eval"), {"__builtins__": {}})
    except (NameError, TypeError, ValueError):
        return object()


def defaults_in(tree):
    """Yield (name, value) of each default of a parameter and of a field of a class."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = node.args
            positional = [*arguments.posonlyargs, *arguments.args]
            pairs = zip(positional[len(positional) - len(arguments.defaults) :], arguments.defaults, strict=True)
            for argument, default in [*pairs, *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]:
                if default is not None:
                    yield argument.arg, value_of(default)
        elif isinstance(node, ast.ClassDef):
            for line in node.body:
                if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.value is not None:
                    yield line.target.id, value_of(line.value)


def repeats(tree, settings):
    return {name for name, value in defaults_in(tree) if value not in NEUTRAL and value in settings.get(name, ())}


def test_no_constructor_repeats_the_default_of_a_setting():
    settings = settings_by_name()
    found = {
        (str(path.relative_to(ROOT)), name)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if path.name != "settings.py"
        for name in repeats(ast.parse(path.read_text()), settings)
    }
    assert found == EXCEPTIONS.keys()


def test_a_repeated_default_is_found():
    settings = settings_by_name()
    code = "class Pool:\n    retention_bytes: int = 1024 ** 3\ndef run(a, *, port=8000, slots=9): ..."
    assert repeats(ast.parse(code), settings) == {"retention_bytes", "port"}
