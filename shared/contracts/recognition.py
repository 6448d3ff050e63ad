"""Frames, turns and results: the conversation between whoever holds a camera's frames and the recognizers.

A source (one camera, one browser tab, one uploaded picture) has one slot at a gateway. When the slot fills, the
gateway puts an empty message on `Turn`; a free recognizer takes the turn, asks the gateway for the source's
*newest* frame, works, acknowledges the turn and publishes the `Result` to that gateway only.
"""

from enum import StrEnum
from typing import ClassVar

from pydantic import AwareDatetime, Field

from shared.contracts.base import MAX_TOKEN, ContractError, Event, Message, Signal, new_id, now, token
from shared.contracts.people import Person

LOCAL = "local"
BAIDU = "baidu"
"""Engines: the networks of this machine, Baidu's cloud."""


class SourceKind(StrEnum):
    """Who sends the frames."""

    WEB = "web"
    DEVICE = "device"
    UPLOAD = "upload"


class Want(StrEnum):
    """What the sender wants to know of a frame."""

    IDENTIFY = "identify"
    ENROL = "enrol"
    CHALLENGE = "challenge"
    """whether a person does what is asked; see `Challenge`"""
    ANSWER = "answer"
    """what `question` asks; nobody clocks in"""


class Turn:
    """`turn.<gateway>.<source>`: an empty message in the TURN work queue, at most one waiting per source.

    Never carries a message id: inside the duplicate window the next turn of the source would be swallowed.
    """

    subjects: ClassVar[str] = "turn.*.*"

    @staticmethod
    def subject(gateway: str, source: str) -> str:
        return f"turn.{token(gateway)}.{token(source)}"

    @staticmethod
    def parse(subject: str) -> tuple[str, str]:
        """The (gateway, source) that a turn's subject names."""
        parts = subject.split(".")
        if len(parts) != 3 or parts[0] != "turn":
            raise ContractError(f"not a turn: {subject[:80]!r}")
        return parts[1], parts[2]


class FrameCall:
    """`frame.get.<gateway>.<source>`: a core request, answered by that gateway with the source's newest `Frame`
    or with the error Gone."""

    timeout: ClassVar[float] = 1.0

    @staticmethod
    def subject(gateway: str, source: str) -> str:
        return f"frame.get.{token(gateway)}.{source if source == '*' else token(source)}"


class Box(Message):
    """A face's place in the frame: pixels of the frame as sent, origin top left."""

    left: float
    top: float
    width: float
    height: float

    def overlap(self, other: "Box") -> float:
        """Intersection over union, 0..1."""
        wide = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        high = min(self.top + self.height, other.top + other.height) - max(self.top, other.top)
        if wide <= 0 or high <= 0:
            return 0.0
        shared_area = wide * high
        return shared_area / (self.width * self.height + other.width * other.height - shared_area)


class LifeLook(Message):
    """What one frame says about flat or not (shared/vision/motion.py): `points` 64×2 little-endian f16, normalised;
    `eyes` how far they are open."""

    at: AwareDatetime
    points: bytes = Field(min_length=256, max_length=256)
    eyes: float


class Ask(StrEnum):
    """What a question may want to know of each face besides its place and pose."""

    LANDMARK = "landmark"
    LANDMARK150 = "landmark150"
    QUALITY = "quality"
    EYES = "eyes"
    AGE = "age"
    GENDER = "gender"
    LIVENESS = "liveness"
    EMBEDDING = "embedding"


class Order(StrEnum):
    """Which of several faces come first."""

    LARGEST = "largest"
    CENTRAL = "central"
    """nearest to the picture's centre"""


class Hunt(Message):
    """Where to look for the faces: 1:N in groups of one app, or 1:1 when a user is named."""

    app_id: int
    groups: tuple[str, ...] = Field(min_length=1, max_length=20)
    user_id: str = ""
    users: int = Field(default=1, ge=1, le=50)
    """how many of the nearest users, at most"""


class Question(Message):
    """What a caller of the face API wants to know of a picture."""

    ask: tuple[Ask, ...] = ()
    order: Order = Order.LARGEST
    turned: bool = True
    """look for faces on their side or head when none stands upright"""
    at: Box | None = None
    """only the face here, of several: a face token's"""
    hunt: Hunt | None = None


class Covered(Message):
    """How much of each part something hides, 0..1; left and right as in the picture."""

    left_eye: float
    right_eye: float
    nose: float
    mouth: float
    left_cheek: float
    right_cheek: float
    chin_contour: float


class Measured(Message):
    """What was measured of a face; what was not asked for, or cannot be told, is None."""

    probability: float
    rotation: float
    """degrees in the picture plane, clockwise from upright, -180..180"""
    yaw: float
    pitch: float
    roll: float
    """degrees: -90 left..90 right, -90 up..90 down, -180..180"""
    blur: float | None = None
    illumination: float | None = None
    completeness: int | None = None
    covered: Covered | None = None
    landmark4: tuple[tuple[float, float], ...] = ()
    landmark72: tuple[tuple[float, float], ...] = ()
    landmark150: dict[str, tuple[float, float]] | None = None
    eyes: tuple[float, float] | None = None
    """openness 0..1 of the left and the right eye in the picture"""
    age: float | None = None
    gender: str = ""
    """male, female, or empty"""
    gender_probability: float = 0.0
    liveness: float | None = None
    """livemapscore; None: not looked at, or the face is too small to tell"""


class Candidate(Message):
    """A user of the library who resembles the face."""

    group_id: str
    user_id: str
    user_info: str
    score: float
    """0..100, of the user's most similar face"""


class TrackedFace(Message):
    """What the last frames of one source said about one face."""

    box: Box
    seen_at: AwareDatetime
    votes: tuple[int, ...] = ()
    """student ids that the newest frames found, newest last; 0 is a frame that found nobody."""
    looked_at: AwareDatetime | None = None
    """when an embedding was last searched for this face"""
    score: float = 0.0
    """of that search"""
    reported_id: int = 0
    """student id last reported as identified by this track, 0 if none yet"""
    reported_at: AwareDatetime | None = None
    event_id: str = ""
    """the event that reported it"""
    life: tuple[LifeLook, ...] = Field((), max_length=24)
    """the looks of the last seconds, oldest first, about 300 bytes each; empty where motion is not judged"""
    alive_at: AwareDatetime | None = None
    """when the motion of this face last proved a head"""
    likeness: bytes = Field(b"", max_length=256)
    """the embedding of the last look, 128 little-endian f16: proof of life is of this face, not of its place"""


class Action(StrEnum):
    """What a person can be asked to do. Sides are the picture's, as an unmirrored camera sees it."""

    BLINK = "blink"
    TURN_LEFT = "turn_left"
    TURN_RIGHT = "turn_right"
    NOD = "nod"
    OPEN_MOUTH = "open_mouth"


class Step(StrEnum):
    """Where a challenge is; all but the first two are its end."""

    WAITING = "waiting"
    """for a face at rest that looks straight ahead"""
    ACTING = "acting"
    PASSED = "passed"
    TIMED_OUT = "timed_out"
    FACE_LOST = "face_lost"
    FACE_CHANGED = "face_changed"
    FLAT = "flat"
    """it moved as a sheet does"""


TO_BEGIN_S = 10.0
"""How long a challenge waits for a resting face, in seconds."""
PER_ACTION_S = 8.0
"""How long it waits for an action."""


class Rest(Message):
    """A face's own values when it looks straight ahead: degrees, and openings of eyes and mouth. A low camera or narrow
    eyes are nobody's fault."""

    yaw: float
    pitch: float
    eyes: float
    mouth: float


class Challenge(Message):
    """One person's attempt, so far. The rules are in shared/vision/challenge.py."""

    actions: tuple[Action, ...] = Field(min_length=1, max_length=5)
    step: Step = Step.WAITING
    done: int = 0
    """actions that were seen"""
    stage: int = 0
    """of the present action: its parts that were seen"""
    since: AwareDatetime | None = None
    """when the present step began"""
    seen_at: AwareDatetime | None = None
    """when the face was last seen"""
    middle: tuple[float, float] = (0.0, 0.0)
    """of the face then, in pixels"""
    size: float = 0.0
    still: tuple[Rest, ...] = Field((), max_length=8)
    """the resting frames just before"""
    rest: Rest | None = None
    picture: str = ""
    """the frame that shows the resting face, to be registered with"""

    @property
    def current(self) -> Action | None:
        """What to ask for now."""
        return self.actions[self.done] if self.step is Step.ACTING else None

    @property
    def limit_s(self) -> float:
        """How long the present step may take, in seconds."""
        return PER_ACTION_S if self.step is Step.ACTING else TO_BEGIN_S

    @property
    def over(self) -> bool:
        """Further frames change nothing."""
        return self.step not in (Step.WAITING, Step.ACTING)


class Track(Message):
    """The recent past of one source. It travels with the frame, so any recognizer can take any turn."""

    faces: tuple[TrackedFace, ...] = ()
    challenge: Challenge | None = None


class Frame(Message):
    """The newest picture of a source, and what is wanted of it."""

    frame_id: str = Field(default_factory=new_id, max_length=MAX_TOKEN)
    source: str = Field(max_length=MAX_TOKEN)
    kind: SourceKind
    place: str = Field(max_length=128)
    captured_at: AwareDatetime = Field(default_factory=now)
    deadline: AwareDatetime
    want: Want = Want.IDENTIFY
    streaming: bool = False
    """True: more frames follow, so the answer may wait for a second opinion. False: decide on this one."""
    max_faces: int = Field(default=1, ge=1, le=120)
    question: Question | None = None
    """of Want.ANSWER"""
    may_leave: bool = False
    """of Want.ENROL: the person agreed that the picture goes to the cloud that recognises (engine `baidu`)"""
    jpeg: bytes = Field(min_length=4, max_length=3_500_000)
    track: Track = Track()


class Problem(Message):
    """Why a picture or a face cannot be used, in words its owner can act on. `code` is Baidu's (V3 §4, §5)."""

    code: int
    zh: str
    en: str


NO_FACE = Problem(code=222202, zh="没有看到人脸，请正对镜头", en="No face was found; please face the camera")
SEVERAL_FACES = Problem(
    code=222202, zh="照片里有多张人脸，请只拍一个人", en="There is more than one face in the picture"
)
NOT_ALIVE = Problem(
    code=223120, zh="活体检测未通过，请本人正对镜头", en="No live face was seen: face the camera yourself"
)


class Verdict(StrEnum):
    """The answer about one face."""

    IDENTIFIED = "identified"
    PENDING = "pending"
    """not sure yet: waits for a second frame to agree"""
    UNKNOWN = "unknown"
    UNUSABLE = "unusable"
    """the face was seen but its quality does not allow an answer: see `problems`"""
    MEASURED = "measured"
    """an enrolment: `embedding` holds the face; or an answer: `measured` and `candidates` hold it"""


class FaceResult(Message):
    """The answer about one face of a frame."""

    box: Box
    verdict: Verdict
    person: Person | None = None
    score: float = 0.0
    """0..100, 80 at a false accept rate of 1e-4 per comparison"""
    event_id: str = ""
    """the `Identified` event that reported this person, empty if none did"""
    problems: tuple[Problem, ...] = ()
    model: str = ""
    embedding: bytes = b""
    measured: Measured | None = None
    candidates: tuple[Candidate, ...] = ()
    """best first"""


class Result(Signal):
    """`result.<gateway>.<source>`: what a recognizer says of one frame."""

    frame_id: str
    source: str
    captured_at: AwareDatetime
    faces: tuple[FaceResult, ...] = ()
    problem: Problem | None = None
    """why nothing can be said of the frame as a whole (not a picture, no face, …)"""
    track: Track = Track()
    width: int = 0
    height: int = 0
    recognizer: str = ""
    revision: int = 0
    """the library revision that was searched"""
    took_ms: float = 0.0
    engine: str = LOCAL
    """who answered: LOCAL, or BAIDU"""

    @staticmethod
    def subject_for(gateway: str, source: str) -> str:
        return f"result.{token(gateway)}.{source if source == '*' else token(source)}"


def event_id_of(frame_id: str, face: int) -> str:
    """The id of the event that reports a face of a frame: the same for everybody who works on that frame."""
    return f"{frame_id}-{face}"


def frame_of_event(event_id: str) -> str:
    """The frame behind such an event: the correlation id in the logs."""
    return event_id.rpartition("-")[0]


class Identified(Event):
    """Somebody stood before a camera. The registry makes it a punch, exactly once per `event_id`."""

    subject: ClassVar[str] = "evt.recognition.identified"

    frame_id: str
    student_id: int
    place: str
    kind: SourceKind
    source: str
    captured_at: AwareDatetime
    score: float


class RecognizerAlive(Signal):
    """`alive.recognizer.<id>`: said every ALIVE_EVERY_S and whenever the index moves on.

    A recognizer unheard of for ALIVE_FOR_S is dead: nobody waits for its index.
    """

    subject: ClassVar[str] = "alive.recognizer.*"

    recognizer: str
    revision: int
    leaving: bool = False
    engine: str = LOCAL
    """LOCAL, or BAIDU: pictures leave for the cloud, which people must have agreed to"""

    @staticmethod
    def subject_for(recognizer: str) -> str:
        return f"alive.recognizer.{token(recognizer)}"


ALIVE_EVERY_S = 2.0
ALIVE_FOR_S = 6.0
"""Three missed words: a recognizer deep in a burst of work is not mistaken for a dead one."""
