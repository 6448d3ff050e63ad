"""Numbers that the outside knows us by."""

from enum import IntEnum


class DeviceCode(IntEnum):
    """Seed 004's answer codes that the first slice uses; the rest of the table comes with the whole API."""

    SUCCESS = 0
    UNKNOWN_ERROR = 1
    PERMISSION_DENIED = 9001
    POST_PARAMETERS_NEEDED = 9002
    NAME_OR_SERIAL_WRONG = 9003
    NAME_SERIAL_MISMATCH = 9004
    INCOMPLETE_PARAMETERS = 9005
