"""The errors that cross the bus, drawn:

    RollcallError
    ├── Refused          the caller's fault: say what is wrong, change nothing
    │   ├── InvalidInput     a field is missing or malformed
    │   ├── NotFound
    │   ├── Conflict         it exists already, or belongs to somebody else
    │   ├── NotAllowed       wrong password, token, right
    │   ├── Gone             it was there, its time is over
    │   ├── DeviceRefused    a terminal's request, with seed 004's code in `number`
    │   └── CloudRefused     Baidu's cloud said no, with its code in `number`
    └── Failed           our fault: try again later
        ├── Unavailable      nobody answers, or not in time
        │   ├── Nobody           it is certain that nobody heard the question
        │   └── CloudAway        Baidu's cloud: not reached, too slow, too busy, or not understood
        └── Internal         a bug; the log knows more

Each carries a sentence in Chinese and in English for whoever is in front of the screen.
"""

from typing import ClassVar


class RollcallError(Exception):
    """An error with a stable `code` that survives the bus, and words for people."""

    code: ClassVar[str] = "error"
    by_code: ClassVar[dict[str, type["RollcallError"]]] = {}

    def __init__(self, zh: str, en: str, *, field: str = "", number: int = 0) -> None:
        super().__init__(en)
        self.zh, self.en, self.field, self.number = zh, en, field, number

    def __init_subclass__(cls) -> None:
        RollcallError.by_code[cls.code] = cls


class Refused(RollcallError):
    code = "refused"


class InvalidInput(Refused):
    code = "invalid"


class NotFound(Refused):
    code = "not_found"


class Conflict(Refused):
    code = "conflict"


class NotAllowed(Refused):
    code = "not_allowed"


class Gone(Refused):
    code = "gone"


class DeviceRefused(Refused):
    code = "device"


class CloudRefused(Refused):
    code = "cloud_refused"


class Failed(RollcallError):
    code = "failed"


class Unavailable(Failed):
    code = "unavailable"

    def __init__(
        self,
        zh: str = "系统繁忙，请稍后再试",
        en: str = "The system is busy, please try again",
        *,
        field: str = "",
        number: int = 0,
    ) -> None:
        super().__init__(zh, en, field=field, number=number)


class Nobody(Unavailable):
    code = "nobody"


class CloudAway(Unavailable):
    code = "cloud_away"

    def __init__(
        self,
        zh: str = "云端识别暂时不可用，请稍后再试",
        en: str = "The recognition cloud cannot be reached just now, please try again",
        *,
        field: str = "",
        number: int = 0,
    ) -> None:
        super().__init__(zh, en, field=field, number=number)


class Internal(Failed):
    code = "internal"
