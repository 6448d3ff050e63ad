"""The compatible API's parts in one place, for its routes."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self
from zoneinfo import ZoneInfo

from gateway.baidu_api.callers import Callers
from gateway.baidu_api.detecting import Detecting
from gateway.baidu_api.downloads import Downloads
from gateway.baidu_api.enrolling import Enrolling
from gateway.baidu_api.loose_faces import LooseFaces
from gateway.baidu_api.managing import Managing
from gateway.baidu_api.pictures import Pictures
from gateway.baidu_api.reading import Fields
from gateway.baidu_api.searching import Searching
from gateway.baidu_api.vision import LooksOnce, Vision
from gateway.clockin import Indexes
from gateway.decoding import Decoding
from gateway.settings import GatewaySettings
from shared.bus import Bus
from shared.contracts.library import App, KeyRevoked

OnFields = Callable[[App, Fields], Awaitable[dict[str, Any] | None]]
OnItems = Callable[[App, list[Fields]], Awaitable[dict[str, Any] | None]]


@dataclass(frozen=True, slots=True)
class FaceApi:
    """`on_fields` and `on_items` by path below /rest/2.0/face/v3 (V3 §1.8); items come as a JSON array."""

    callers: Callers
    loose: LooseFaces
    on_fields: Mapping[str, OnFields]
    on_items: Mapping[str, OnItems]

    @classmethod
    def build(
        cls,
        settings: GatewaySettings,
        bus: Bus,
        frames: LooksOnce,
        indexes: Indexes,
        downloads: Downloads | None = None,
        decoding: Decoding | None = None,
    ) -> Self:
        """Wire the parts; nothing runs yet."""
        loose = LooseFaces(bus)
        pictures = Pictures(loose, downloads or Downloads(settings.picture_hosts), decoding or Decoding())
        vision = Vision(frames, pictures, loose)
        detecting, searching = Detecting(vision), Searching(vision)
        enrolling, managing = Enrolling(bus, vision, indexes), Managing(bus, indexes, ZoneInfo(settings.timezone))
        return cls(
            callers=Callers(bus, settings.secret.get_secret_value()),
            loose=loose,
            on_fields={
                "/detect": detecting.detect,
                "/search": searching.search,
                "/multi-search": searching.multi_search,
                "/faceset/user/add": enrolling.add,
                "/faceset/user/update": enrolling.update,
                "/faceset/user/get": managing.get_user,
                "/faceset/user/copy": managing.copy_user,
                "/faceset/user/delete": managing.remove_user,
                "/faceset/face/getlist": managing.list_faces,
                "/faceset/face/delete": managing.remove_face,
                "/faceset/group/add": managing.add_group,
                "/faceset/group/delete": managing.delete_group,
                "/faceset/group/getlist": managing.list_groups,
                "/faceset/group/getusers": managing.list_users,
            },
            on_items={"/match": searching.match, "/faceverify": detecting.faceverify},
        )

    async def start(self, bus: Bus) -> None:
        """Hear of revoked keys."""
        await bus.follow(KeyRevoked.subject, KeyRevoked, self.callers.forget)
