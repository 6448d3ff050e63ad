"""The kiosk: home, registration, clock-in, as seed 000 prints them."""

import json
from collections.abc import Mapping
from typing import Any, Final

from fastapi import APIRouter, Depends
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from gateway.answers import person_dict
from gateway.body_limit import MAX_BODY
from gateway.challenge import proof_holds
from gateway.clockin import Answer, Enrolled, PictureRefused, Punch
from gateway.mishaps import status_of
from gateway.origin import client_address, require_same_origin
from gateway.pictures import from_data_url, from_upload
from gateway.policies import open_to_all
from gateway.sessions import Flash
from gateway.site import Site, TheSite
from gateway.student_form import FORM_FIELD, FieldsRefused, read_student, typed
from gateway.throttle import TooFast
from gateway.words import Words
from shared.errors import Failed, InvalidInput, RollcallError

NOT_JSON: Final = 222200
"""Baidu's "request body should be json format"."""
NO_PICTURE: Final = 222001
"""Baidu's "param[…] is null"."""
TOO_FAST: Final = 18
"""Baidu's "qps request limit reached"; its clients sleep and try again."""
NO_PLACE: Final = "web"
MAX_PLACE: Final = 64
PICTURE_FIELDS: Final = ("img_data", "photo", "face")
KEPT_PHOTO: Final = 3 * 2**20
"""A photo up to this many characters goes back into a form that failed for another reason."""


class RegistrationRefused(Exception):
    """What to say above the form: one of the seed's three sentences (a key of the words) and the reasons.

    `wrong` are the fields at fault. `status` is 200 as in the seed while the form can be mended, an error's own
    when it is our fault.
    """

    def __init__(self, headline: str, reasons: list[str], wrong: list[str] | None = None, status: int = 200) -> None:
        super().__init__(headline)
        self.headline, self.reasons, self.wrong = headline, reasons, wrong or []
        self.status = status if status >= 500 else 200


def kiosk_pages() -> APIRouter:
    """The routes."""
    router = APIRouter(dependencies=[Depends(open_to_all)])
    router.add_api_route("/", home, methods=["GET"])
    router.add_api_route("/register", register_page, methods=["GET"])
    router.add_api_route("/register", register, methods=["POST"])
    router.add_api_route("/clockin", clockin_page, methods=["GET"])
    router.add_api_route("/clockin", clockin, methods=["POST"])
    return router


async def home(request: Request, site: TheSite) -> HTMLResponse:
    """Camera preview and the two buttons."""
    return site.page(request, "index.html")


async def register_page(request: Request, site: TheSite) -> HTMLResponse:
    """The empty form."""
    return _form(request, site, {})


async def register(request: Request, site: TheSite) -> Response:
    """Register a student. Every refusal shows the form again, with what was typed."""
    require_same_origin(request)
    site.registrations.take(client_address(request))
    async with request.form(max_files=1, max_fields=20, max_part_size=MAX_BODY) as form:
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
        try:
            enrolled = await _enrol(form, fields, site, site.words(request))
        except RegistrationRefused as refused:
            return _form(request, site, fields, refused)
    return site.redirect("/", _welcome(enrolled, site.words(request)))


async def _enrol(form: FormData, fields: Mapping[str, str], site: Site, words: Words) -> Enrolled:
    """Register what the form says. Raises RegistrationRefused."""
    empty = _empty(form, fields)
    recognition = site.gateway.recognition
    if gaps := _gaps(empty, fields, words, pictures_leave=recognition.pictures_leave):
        raise RegistrationRefused("register.missing", gaps, empty)
    try:
        student, picture = read_student(fields), await _picture(form, fields)
        _check_proof(site, picture, fields.get("proof", ""), words)
        return await recognition.enrol(student, picture, may_leave=_agreed(fields, "cloud_consent"))
    except FieldsRefused as error:
        raise RegistrationRefused(
            "register.wrong", [words(f"rule.{name}") for name in error.fields], error.fields
        ) from None
    except PictureRefused as error:
        reasons = [words.pick(problem.zh, problem.en) for problem in error.problems]
        raise RegistrationRefused("register.picture", reasons) from None
    except RollcallError as error:
        raise RegistrationRefused(_headline(error), [words.of(error)], _at_fault(error), status_of(error)) from error


def _check_proof(site: Site, picture: bytes, proof: str, words: Words) -> None:
    """Where the office asks for it, the picture must be one that the challenge handed out. Raises
    RegistrationRefused."""
    if site.gateway.settings.register_challenge and not proof_holds(site.secret, picture, proof):
        raise RegistrationRefused("register.picture", [words("register.proof_needed")])


def _empty(form: FormData, fields: Mapping[str, str]) -> list[str]:
    """The fields that are not filled in, the picture among them."""
    names = [name for name, text in typed(fields).items() if not text]
    has_picture = _upload(form) or fields.get("img_data", "").strip()
    return names if has_picture else [*names, "photo"]


def _gaps(empty: list[str], fields: Mapping[str, str], words: Words, *, pictures_leave: bool) -> list[str]:
    """What is missing, in words: fields, and the consents that our page asks for. The seed's own form does not know
    the first question; whoever posts it has asked on paper. Nothing goes to the cloud without a yes to the second."""
    listed = words("list.comma").join(words(f"field.{name}") for name in empty)
    gaps = [words("register.empty", fields=listed)] if empty else []
    if "consent_asked" in fields and not _agreed(fields, "consent"):
        gaps.append(words("register.consent_needed"))
    if pictures_leave and not _agreed(fields, "cloud_consent"):
        gaps.append(words("register.cloud_consent_needed"))
    return gaps


def _agreed(fields: Mapping[str, str], consent: str) -> bool:
    return fields.get(consent) == "yes"


def _upload(form: FormData) -> UploadFile | None:
    """The uploaded file; browsers send an empty one when none was chosen."""
    upload = form.get("photo")
    return upload if isinstance(upload, UploadFile) and upload.size else None


async def _picture(form: FormData, fields: Mapping[str, str]) -> bytes:
    """The uploaded file, else the camera's picture. Raises InvalidInput, BodyTooLarge."""
    upload = _upload(form)
    return await from_upload(upload) if upload else from_data_url(fields["img_data"])


def _headline(error: RollcallError) -> str:
    """Which of the seed's sentences an error belongs under; pictures carry Baidu's number or name their field."""
    if isinstance(error, Failed):
        return "register.failed"
    return "register.picture" if error.number or error.field in PICTURE_FIELDS else "register.wrong"


def _at_fault(error: RollcallError) -> list[str]:
    """The form's field that an error of the registry is about."""
    return [FORM_FIELD[error.field]] if error.field in FORM_FIELD else []


def _form(
    request: Request, site: Site, fields: Mapping[str, str], refused: RegistrationRefused | None = None
) -> HTMLResponse:
    photo = fields.get("img_data", "")
    keep = refused is not None and refused.headline != "register.picture" and photo.startswith("data:image/")
    return site.page(
        request,
        "register.html",
        refused.status if refused else 200,
        typed=typed(fields),
        consent=_agreed(fields, "consent"),
        cloud_consent=_agreed(fields, "cloud_consent"),
        pictures_leave=site.gateway.recognition.pictures_leave,
        photo=photo if keep and len(photo) <= KEPT_PHOTO else "",
        proof=fields.get("proof", "")[:200] if keep else "",
        challenge=site.gateway.settings.register_challenge,
        headline=refused.headline if refused else "",
        reasons=refused.reasons if refused else [],
        wrong=refused.wrong if refused else [],
    )


def _welcome(enrolled: Enrolled, words: Words) -> Flash:
    if enrolled.searchable:
        return Flash(words("register.done", name=enrolled.person.name))
    return Flash(words("register.done_soon", name=enrolled.person.name), "warn")


async def clockin_page(request: Request, site: TheSite) -> HTMLResponse:
    """Camera, names, results."""
    return site.page(request, "clockin.html")


async def clockin(request: Request, site: TheSite) -> JSONResponse:
    """Recognise the posted picture. Always the seed's JSON shape: 200 says what the recognition found, anything
    else that the request itself was no good."""
    words = site.words(request)
    try:
        require_same_origin(request)
        site.clock_ins.take(client_address(request))
        picture, place = _asked(await request.body())
        answer = await site.gateway.recognition.clock_in(picture, place)
    except TooFast as error:
        return JSONResponse(_said(TOO_FAST, words.of(error)), 429, {"Retry-After": str(error.number)})
    except RollcallError as error:
        return JSONResponse(_said(error.number or -2, words.of(error)), status_of(error))
    return JSONResponse(_answered(answer, site, words))


def _asked(body: bytes) -> tuple[bytes, str]:
    """(picture, place) of a clock-in's JSON. Raises InvalidInput, BodyTooLarge."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise InvalidInput("请求体应为 JSON 对象", "the request body must be a JSON object", number=NOT_JSON)
    picture, place = asked.get("img_data"), asked.get("place", "")
    if not isinstance(picture, str) or not picture:
        raise InvalidInput("缺少 img_data", "img_data is missing", number=NO_PICTURE)
    if not isinstance(place, str) or len(place) > MAX_PLACE:
        raise InvalidInput(
            f"place 应为不超过 {MAX_PLACE} 字的文字", f"place is a text of at most {MAX_PLACE} characters"
        )
    return from_data_url(picture), place.strip() or NO_PLACE


def _answered(answer: Answer, site: Site, words: Words) -> dict[str, Any]:
    if answer.errno or answer.person is None:
        return _said(answer.errno or -1, words.pick(answer.zh, answer.en))
    return {
        **_said(0, "识别成功"),
        "dict": person_dict(answer.person),
        "punch": _punch(answer.punch, site) if answer.punch else None,
        "score": round(answer.score, 1),
    }


def _said(number: int, words: str) -> dict[str, Any]:
    return {"errno": number, "errmsg": words}


def _punch(punch: Punch, site: Site) -> dict[str, str]:
    at = punch.at.astimezone(site.zone)
    return {"state": punch.state, "at": at.isoformat(timespec="seconds"), "at_text": f"{at:%H:%M}"}
