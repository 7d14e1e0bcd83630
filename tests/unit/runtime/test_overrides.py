import pytest

from stream.runtime.overrides import UpstreamChanged, overrides, require_attributes


class Base:
    def seek(self, partition: int, offset: int) -> None: ...

    async def fetch(self, partition: int, *, wait: float) -> None: ...

    @property
    def member(self) -> str:
        return ""


def test_overrides_with_the_signatures_of_the_base_are_accepted():
    @overrides(Base, "seek", "fetch", "member")
    class _Ours(Base):
        member = "x"

        def seek(self, partition: int, offset: int) -> None: ...

        async def fetch(self, partition: int, *, wait: float) -> None: ...


def test_parameters_that_are_passed_on_need_not_be_named():
    @overrides(Base, "fetch")
    class _Ours(Base):
        async def fetch(self, partition: int, *args: object, **kwargs: object) -> None: ...


class Renamed(Base):
    def seek_all(self) -> None: ...


class OtherParameters(Base):
    def seek(self, offset: int, partition: int) -> None: ...


class OtherKinds(Base):
    def seek(self, partition: int, offset: int, wait: float) -> None: ...

    def fetch(self, partition: int, *, wait: float) -> None: ...

    def member(self) -> str: ...


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        (Renamed, "seek_all"),
        (OtherParameters, "seek"),
        (OtherKinds, "seek"),
        (OtherKinds, "fetch"),
        (OtherKinds, "member"),
    ],
)
def test_an_override_that_the_base_would_not_call_is_an_error_at_import(cls, name):
    with pytest.raises(UpstreamChanged, match=rf"Base(\.| has no ){name}.*requirements\.lock"):
        overrides(Base, name)(cls)


def test_a_listed_override_that_the_class_lacks_is_an_error():
    with pytest.raises(TypeError, match="Renamed lists seek as an override"):
        overrides(Base, "seek")(Renamed)


def test_a_name_that_the_base_has_and_the_class_does_not_list_is_an_error():
    with pytest.raises(UpstreamChanged, match=r"Base has seek, which .*OtherParameters replaces unlisted"):
        overrides(Base)(OtherParameters)


def test_a_missing_attribute_is_an_error():
    require_attributes(Base(), "member")
    with pytest.raises(UpstreamChanged, match=r"Base has no _a, _b;"):
        require_attributes(Base(), "_a", "member", "_b")
