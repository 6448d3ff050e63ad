"""Settings common to all services: read once from ROLLCALL_* variables in `__main__`, then passed down."""

import os
import re
import socket
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def own_name() -> str:
    """This process among its siblings: the host's name, which in a container is its own, and the process id."""
    return f"{re.sub('[^A-Za-z0-9_-]', '-', socket.gethostname())[:48]}-{os.getpid()}"


class Settings(BaseSettings):
    """Frozen. Every default works on a laptop; secrets have none.

    Any of them may come from a file instead, named as its variable in small letters, of the folder that
    $ROLLCALL_SECRETS_DIR names; a variable wins.
    """

    model_config = SettingsConfigDict(env_prefix="ROLLCALL_", frozen=True, hide_input_in_errors=True, extra="ignore")

    nats_url: str = "nats://127.0.0.1:4222"
    """several, with commas between them: the nodes of one cluster"""
    nats_replicas: int = Field(default=1, ge=1, le=5)
    """on how many nodes of the cluster every stream and bucket is kept; the same for all services"""
    nats_password: SecretStr
    instance: str = Field(default_factory=own_name)
    """this process among its siblings: letters, digits, - and _; stable across restarts where possible"""
    data: Path = Path("data")
    log_pretty: bool | None = None
    health_host: str = "127.0.0.1"
    health_port: int = 0
    """the operators' port of this process: /healthz, /readyz, /metrics (docs/metrics.md); 0 picks a free one"""
