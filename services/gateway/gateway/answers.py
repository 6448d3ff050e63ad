"""Results as the outside sees them: JSON for streams and terminals. Pure."""

from typing import Any

from shared.contracts.base import now
from shared.contracts.people import Gender, Person
from shared.contracts.recognition import FaceResult, Problem, Result


def person_dict(person: Person) -> dict[str, str]:
    """name, class, num, gender as seed 000's `to_dict` gives them."""
    gender = "男" if person.gender is Gender.MAN else "女"
    return {"name": person.name, "class": person.class_name, "num": person.num, "gender": gender}


def problem_dict(problem: Problem) -> dict[str, Any]:
    """code and both sentences."""
    return {"code": problem.code, "zh": problem.zh, "en": problem.en}


def result_message(result: Result) -> dict[str, Any]:
    """The message a stream gets for one of its frames."""
    return {
        "type": "result",
        "faces": [_face_dict(face) for face in result.faces],
        "problem": problem_dict(result.problem) if result.problem else None,
        "width": result.width,
        "height": result.height,
        "age_ms": round((now() - result.captured_at).total_seconds() * 1000),
        "took_ms": round(result.took_ms, 1),
    }


def _face_dict(face: FaceResult) -> dict[str, Any]:
    box = [round(edge, 1) for edge in (face.box.left, face.box.top, face.box.width, face.box.height)]
    shown: dict[str, Any] = {"box": box, "verdict": face.verdict, "problems": [problem_dict(p) for p in face.problems]}
    if face.person is not None:
        shown |= {**person_dict(face.person), "score": round(face.score, 1), "event": face.event_id}
    return shown
