"""Settings of the gateway."""

from pydantic import Field, SecretStr

from shared.contracts.people import Gender
from shared.settings import Settings


class GatewaySettings(Settings):
    """`secret` signs cookies, CSRF tokens and wall tickets; every gateway of an installation shares it."""

    host: str = "127.0.0.1"
    port: int = 8000
    secret: SecretStr
    timezone: str = "Asia/Shanghai"
    secure_cookies: bool = False
    """True behind HTTPS"""
    max_sources: int = 4_000
    """streams and walls (`/feed`) open at once on this gateway"""
    max_sources_per_address: int = 500
    """of these from one address; a whole school may stand behind one"""
    max_connections_per_address: int = 400
    """other connections of one address; 0: no limit. A reverse proxy is not counted, and has its own limits"""
    max_bodies_mib: int = Field(default=256, ge=16)
    """MiB of all request bodies that are being read or looked at; whoever comes beyond them is asked to come again"""
    picture_hosts: str = ""
    """hosts that the face API may fetch `image_type=URL` pictures from: see gateway.baidu_api.downloads; empty: none"""
    terminal_class: str = Field(default="未分班", min_length=1, max_length=128)
    """the class of students whom a terminal registers without one (seed 004's `regFace` has none)"""
    terminal_gender: Gender = Gender.MAN
    """their gender, likewise; as seed 000's column has it"""
    frame_interval_ms: int = 200
    """the shortest time between two frames of one stream"""
    register_challenge: bool = False
    """True: a student who registers must do before the camera what the page asks; a still picture is not accepted"""
