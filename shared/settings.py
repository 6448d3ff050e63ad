"""Settings common to all services: read once from ROLLCALL_* variables in `__main__`, then passed down."""

import os
from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Frozen. Every default works on a laptop; secrets have none."""

    model_config = SettingsConfigDict(env_prefix="ROLLCALL_", frozen=True, hide_input_in_errors=True, extra="ignore")

    nats_url: str = "nats://127.0.0.1:4222"
    nats_password: SecretStr
    instance: str = f"p{os.getpid()}"
    """this process among its siblings: letters, digits, - and _; stable across restarts where possible"""
    data: Path = Path("data")
    log_pretty: bool | None = None
    health_host: str = "127.0.0.1"
    health_port: int = 0
    """the operators' port of this process: /healthz, /readyz, /metrics (docs/metrics.md); 0 picks a free one"""
