"""Errors of the weir package; the command shows each as one line, without a traceback."""


class WeirError(Exception):
    """Base of every error that the command shows as one line."""


class SettingsError(WeirError):
    """A setting is unknown or out of bounds, or its file cannot be read."""


class StackError(WeirError):
    """A process of the stack cannot be started, found or stopped."""


class AccessDenied(WeirError):
    """A key is invalid, or lacks the scope for an action."""


class NotFoundError(WeirError):
    """An id or a key does not exist."""
