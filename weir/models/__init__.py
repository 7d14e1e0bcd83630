"""Which models are installed here, by digest."""

from weir.models.inventory import InstalledModel, inventory

__all__ = ["InstalledModel", "inventory"]
