"""REST v1: the face library's lists as plain JSON, with the same keys as the compatible API. Described by itself at
/api/v1/openapi.json."""

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import AwareDatetime, BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.baidu_api.refusals import code_of, text_of
from gateway.policies import key_holder, open_to_all
from shared.bus import Bus
from shared.codes import FaceCode
from shared.contracts.library import MAX_PAGE, App, GetUser, ListFaces, ListGroups, ListUsers
from shared.errors import RollcallError

PREFIX: Final = "/api/v1"
STATUS: Final = {
    FaceCode.INVALID_PARAMETER: 401,
    FaceCode.TOKEN_INVALID: 401,
    FaceCode.TOKEN_EXPIRED: 401,
    FaceCode.SIGNATURE_WRONG: 401,
    FaceCode.NO_PERMISSION: 403,
    FaceCode.GROUP_MISSING: 404,
    FaceCode.USER_MISSING: 404,
    FaceCode.QPS_LIMIT: 429,
    FaceCode.REQUEST_LIMIT: 429,
    FaceCode.UNAVAILABLE: 503,
    FaceCode.UNKNOWN: 500,
}
TheApp = Annotated[App, Depends(key_holder)]
Id = Annotated[str, Path(pattern=r"^[0-9A-Za-z_]{1,128}$")]
Start = Annotated[int, Query(ge=0, lt=10**9, description="how many to leave out")]
Length = Annotated[int, Query(ge=1, le=MAX_PAGE, description="how many to list at most")]


class GroupPage(BaseModel):
    """Group ids in the order they were made."""

    groups: list[str]
    start: int
    length: int


class UserPage(BaseModel):
    """User ids in the order they came into the group."""

    users: list[str]
    start: int
    length: int


class RegisteredFace(BaseModel):
    """A face by its token."""

    face_token: str
    created_at: AwareDatetime


class FaceList(BaseModel):
    """A user's faces in a group, oldest first; at most 20."""

    user_info: str
    faces: list[RegisteredFace]


class Trouble(BaseModel):
    """`code` is the compatible API's."""

    code: int
    message: str


class RestRoute(APIRoute):
    """A route whose errors are `Trouble` with an HTTP status of their own."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                wrong = ".".join(str(part) for part in error.errors()[0]["loc"][1:])
                return _trouble(400, FaceCode.FORMAT, wrong)
            except RollcallError as error:
                code = code_of(error)
                return _trouble(STATUS.get(code, 400), code, error.field)

        return answered


def rest_api(bus: Bus) -> APIRouter:
    """The routes, and their description."""
    router = APIRouter(prefix=PREFIX, route_class=RestRoute, tags=["library"], responses=_responses())

    @router.get("/groups")
    async def groups(app: TheApp, start: Start = 0, length: Length = 100) -> GroupPage:
        """The app's groups."""
        found = await bus.ask(ListGroups(app_id=app.app_id, start=start, length=length))
        return GroupPage(groups=list(found.ids), start=start, length=length)

    @router.get("/groups/{group_id}/users")
    async def users(app: TheApp, group_id: Id, start: Start = 0, length: Length = 100) -> UserPage:
        """The users of a group."""
        found = await bus.ask(ListUsers(app_id=app.app_id, group_id=group_id, start=start, length=length))
        return UserPage(users=list(found.ids), start=start, length=length)

    @router.get("/groups/{group_id}/users/{user_id}/faces")
    async def faces(app: TheApp, group_id: Id, user_id: Id) -> FaceList:
        """The faces of a user in a group."""
        user = await bus.ask(GetUser(app_id=app.app_id, group_id=group_id, user_id=user_id))
        found = await bus.ask(ListFaces(app_id=app.app_id, group_id=group_id, user_id=user_id))
        listed = [RegisteredFace(face_token=one.face_token, created_at=one.created_at) for one in found.faces]
        return FaceList(user_info=user.entries[0].user_info, faces=listed)

    described = _description(router)

    @router.get("/openapi.json", include_in_schema=False, dependencies=[Depends(open_to_all)])
    async def openapi() -> JSONResponse:
        """What is here."""
        return JSONResponse(described)

    return router


def _responses() -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Trouble} for status in (400, 401, 404, 429, 503)}


def _description(router: APIRouter) -> dict[str, Any]:
    described = get_openapi(title="Rollcall REST API", version="1", routes=router.routes)
    bearer = {"type": "http", "scheme": "bearer", "description": "an access token of /oauth/2.0/token, or bce-v3/AK/SK"}
    token = {"type": "apiKey", "in": "query", "name": "access_token"}
    described.setdefault("components", {})["securitySchemes"] = {"bearer": bearer, "access_token": token}
    described["security"] = [{"bearer": []}, {"access_token": []}]
    for path in described["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)  # what FastAPI would answer; we say 400
    return described


def _trouble(status: int, code: FaceCode, name: str) -> Response:
    said = {"code": int(code), "message": text_of(code, name)}
    headers = {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else {}
    return JSONResponse(said, status, headers)
