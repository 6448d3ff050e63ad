"""The students' copy in Baidu's cloud, where the engine is `baidu`: gateways ask, recognizers keep it."""

from typing import ClassVar

from pydantic import Field

from shared.contracts.base import Command, Done, Message
from shared.contracts.people import StudentNumber


class CloudFace(Message):
    """A face that the cloud has taken in; its token is also the face's token here."""

    token: str = Field(min_length=1, max_length=64)


class PutInCloud(Command[CloudFace]):
    """First step of a registration: the face under a student number that nobody has. What a crashed registration left
    under it is removed. Errors: Conflict (the number is taken, here or there), CloudRefused, CloudAway."""

    subject: ClassVar[str] = "cmd.recognizer.put_in_cloud"
    timeout: ClassVar[float] = 10.0

    num: StudentNumber
    jpeg: bytes = Field(min_length=4, max_length=3_000_000)


class TakeFromCloud(Command[Done]):
    """Undo PutInCloud: this face only. It is done when it is not there, and the faces of the student who has the number
    are. Errors: CloudAway, CloudRefused."""

    subject: ClassVar[str] = "cmd.recognizer.take_from_cloud"
    timeout: ClassVar[float] = 10.0

    num: StudentNumber
    token: str = Field(min_length=1, max_length=64)
