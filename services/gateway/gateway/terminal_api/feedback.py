"""`clinetFeedback` and `clinetWebResult`: what a terminal recognised by itself, and what it recognised last."""

import hashlib
from datetime import datetime
from typing import Any

from gateway.terminal_api import parameters
from gateway.terminal_api.callers import Callers
from gateway.terminal_api.reading import Sent
from gateway.terminal_api.refusals import refused
from shared.bus import Bus
from shared.codes import DeviceCode
from shared.contracts.attendance import GetLastPunch, PunchReport, ReportPunches, ReportState
from shared.contracts.base import new_id, now
from shared.contracts.devices import Device
from shared.contracts.offline import report_id
from shared.contracts.terminals import device_source


class Feedback:
    """Two calls."""

    def __init__(self, bus: Bus, callers: Callers) -> None:
        self._bus, self._callers = bus, callers

    async def report(self, sent: Sent) -> dict[str, Any]:
        """A punch, in the database when this answers. Raises 2, 5, 73731."""
        at = now()
        who, seen_at, sequence = parameters.somebody(sent), parameters.moment(sent, at), parameters.sequence(sent)
        device = await self._callers.admit(sent)
        report = PunchReport(
            report_id=_report_id(device, who, seen_at, sequence), who=who, captured_at=min(seen_at or at, at)
        )
        asked = ReportPunches(
            place=device.punches_at, source=device_source(device.device_id), classes=device.classes, reports=(report,)
        )
        [outcome] = (await self._bus.ask(asked)).outcomes
        if outcome.state is ReportState.UNKNOWN:
            raise refused(DeviceCode.FACE_REFUSED, "没有这个人", "nobody has this faceName")
        if outcome.state is ReportState.AMBIGUOUS:
            raise refused(DeviceCode.BAD_STATE, "有多人同名，请提交学号", "several have this name: send the username")
        return {"state": outcome.state.value}

    async def last(self, sent: Sent) -> dict[str, Any]:
        """Empty and 0 before the first one."""
        device = await self._callers.admit(sent)
        punch = (await self._bus.ask(GetLastPunch(source=device_source(device.device_id)))).punch
        if punch is None:
            return {"faceName": "", "username": "", "time": 0}
        return {"faceName": punch.name, "username": punch.num, "time": int(punch.captured_at.timestamp())}


def _report_id(device: Device, who: str, seen_at: datetime | None, sequence: int | None) -> str:
    """The same for the same sighting sent again: its number and time, else its time and name. One with neither is
    always a new one, which the ledger's window makes a repetition."""
    if seen_at is None:
        return f"report-{device.device_id}-{new_id()}"
    part = str(sequence) if sequence is not None else "n" + hashlib.sha256(who.encode()).hexdigest()[:16]
    return report_id(device.device_id, part, seen_at)
