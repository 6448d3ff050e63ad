"""Students: find, look, correct, delete."""

from collections.abc import Mapping

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from gateway.office.paging import Pager, page_number
from gateway.policies import PostedForm, office_session
from gateway.sessions import Flash
from gateway.site import Site, TheSite
from gateway.student_form import FieldsRefused, read_student, typed
from shared.contracts.people import (
    DeleteStudent,
    EditStudent,
    FindStudents,
    GetPhoto,
    GetStudent,
    Person,
    StudentPage,
    StudentRow,
)
from shared.errors import Conflict, InvalidInput
from shared.vision.calibration import DEFAULT_FPIR, promise

LIST = "/office/students"
ROWS = 50
BY = "office"
TEXT = 128


def student_pages() -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/students", dependencies=[Depends(office_session)])
    router.add_api_route("", students, methods=["GET"])
    router.add_api_route("/{student_id}", student_page, methods=["GET"])
    router.add_api_route("/{student_id}", edit, methods=["POST"])
    router.add_api_route("/{student_id}/photo", photo, methods=["GET"])
    router.add_api_route("/{student_id}/delete", delete_page, methods=["GET"])
    router.add_api_route("/{student_id}/delete", delete, methods=["POST"])
    return router


async def students(request: Request, site: TheSite) -> Response:
    """A page of students, by part of name or number and by class."""
    asked = {name: request.query_params.get(name, "").strip()[:TEXT] for name in ("text", "class_name")}
    page = page_number(request.query_params.get("page", ""))
    found = await _find(site, asked, page)
    pager = Pager(page, ROWS, found.total, asked)
    if page > pager.pages:
        return site.redirect(LIST + pager.link(pager.pages))
    kept = promise(DEFAULT_FPIR, found.library_faces)
    words = site.words(request).pick(kept.zh, kept.en)
    waiting = site.gateway.indexes.waiting
    return site.form_page(
        request, "students.html", found=found, asked=asked, pager=pager, promise=words, waiting=waiting
    )


async def _find(site: Site, asked: Mapping[str, str], page: int) -> StudentPage:
    return await site.gateway.bus.ask(FindStudents(**asked, offset=(page - 1) * ROWS, limit=ROWS))


async def student_page(request: Request, site: TheSite, student_id: int) -> Response:
    """One student, to look at and correct."""
    row = await site.gateway.bus.ask(GetStudent(student_id=student_id))
    return _edit_form(request, site, row, _as_typed(row.person))


async def edit(request: Request, site: TheSite, student_id: int, form: PostedForm) -> Response:
    """Correct a student's fields; the face stays."""
    words = site.words(request)
    try:
        await site.gateway.bus.ask(_correction(student_id, form))
    except FieldsRefused as error:
        return await _mend(request, site, student_id, form, [words(f"rule.{name}") for name in error.fields])
    except (Conflict, InvalidInput) as error:
        return await _mend(request, site, student_id, form, [words.of(error)])
    return site.redirect(LIST, Flash(words("students.saved", name=typed(form)["stu_name"])))


def _correction(student_id: int, form: Mapping[str, str]) -> EditStudent:
    student = read_student(form)
    return EditStudent(
        student_id=student_id,
        num=student.num,
        name=student.name,
        class_name=student.class_name,
        gender=student.gender,
        by=BY,
    )


async def _mend(
    request: Request, site: Site, student_id: int, form: Mapping[str, str], problems: list[str]
) -> Response:
    row = await site.gateway.bus.ask(GetStudent(student_id=student_id))
    return _edit_form(request, site, row, typed(form), problems)


def _edit_form(
    request: Request, site: Site, row: StudentRow, shown: Mapping[str, str], problems: list[str] | None = None
) -> Response:
    status = 400 if problems else 200
    return site.form_page(request, "student.html", status, row=row, typed=shown, reasons=problems or [])


def _as_typed(person: Person) -> dict[str, str]:
    return {
        "stu_name": person.name,
        "stu_class": person.class_name,
        "stu_num": person.num,
        "gender": person.gender.value,
    }


async def photo(site: TheSite, student_id: int) -> Response:
    """The registered photo. Never kept by a browser: it must be gone when the student is."""
    found = await site.gateway.bus.ask(GetPhoto(student_id=student_id))
    return Response(found.jpeg, headers={"Cache-Control": "no-store, private"}, media_type="image/jpeg")


async def delete_page(request: Request, site: TheSite, student_id: int) -> Response:
    """Asks whether it is meant."""
    row = await site.gateway.bus.ask(GetStudent(student_id=student_id))
    return site.form_page(request, "student_delete.html", row=row)


async def delete(request: Request, site: TheSite, student_id: int, form: PostedForm) -> Response:
    """Delete student, faces and photos, and say whether every recognizer has forgotten them."""
    words, bus = site.words(request), site.gateway.bus
    row = await bus.ask(GetStudent(student_id=student_id))
    gone = await bus.ask(DeleteStudent(student_id=student_id, by=BY))
    if await site.gateway.recognition.wait_until_searchable(gone.revision):
        return site.redirect(LIST, Flash(words("students.deleted", name=row.person.name)))
    return site.redirect(LIST, Flash(words("students.deleted_soon", name=row.person.name), "warn"))
