"""The command and the client of Weir; may import all, nothing imports it."""
