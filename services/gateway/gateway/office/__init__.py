"""The office's pages: login, students, punches, devices. The console grows from here."""

from fastapi import APIRouter

from gateway.office.devices import device_pages
from gateway.office.login import login_pages
from gateway.office.punches import punch_pages
from gateway.office.students import student_pages

__all__ = ["office_pages"]


def office_pages() -> APIRouter:
    """The routes."""
    router = APIRouter()
    for part in (login_pages(), student_pages(), punch_pages(), device_pages()):
        router.include_router(part, prefix="/office")
    return router
