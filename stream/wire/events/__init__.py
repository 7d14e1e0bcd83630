"""The data of every event on Weir's topics.

Changes to the structs are additive: a new field has a default, unknown fields are ignored, and the bytes of every past
version can be decoded (tests/contract/wire). Times are seconds since the epoch, UTC, as float. Only requests, end
records and corrections contain text of users or models.
"""
