"""The office's accounts. The first visit, or `rollcall admin`, sets the password."""

from typing import ClassVar

from pydantic import Field, SecretStr, field_serializer

from shared.contracts.base import Command, Message


class Password(Message):
    """A password in flight: never shown in a log or a repr."""

    value: SecretStr = Field(min_length=8, max_length=256)

    @field_serializer("value")
    def _plain(self, value: SecretStr) -> str:
        return value.get_secret_value()


class OfficeState(Message):
    """Whether anybody has set a password yet, and the id of the present one (changes with every change)."""

    has_password: bool
    password_id: int


class GetOfficeState(Command[OfficeState]):
    """Is there an account?"""

    subject: ClassVar[str] = "cmd.registry.office_state"


class SetPassword(Command[OfficeState]):
    """Set the office password. `first` only succeeds while there is none (Conflict otherwise)."""

    subject: ClassVar[str] = "cmd.registry.set_password"
    timeout: ClassVar[float] = 10.0

    password: Password
    first: bool


class CheckPassword(Command[OfficeState]):
    """Errors: NotAllowed."""

    subject: ClassVar[str] = "cmd.registry.check_password"
    timeout: ClassVar[float] = 10.0

    password: Password
