"""`python -m registry`: settings from ROLLCALL_* variables, until SIGINT or SIGTERM."""

from registry.service import service
from registry.settings import RegistrySettings
from shared.runtime import run

if __name__ == "__main__":
    run("registry", RegistrySettings, service)
