"""Settings of the recognizer."""

from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from shared.baidu.client import BAIDU_URL, FREE_QPS, CloudSettings
from shared.bus.topology import TURN_WAIT_S
from shared.contracts.library import STUDENTS_GROUP, LibraryId
from shared.settings import Settings
from shared.vision.calibration import DEFAULT_FPIR


class RecognizerSettings(Settings):
    """One process uses `threads` cores for its networks; scale by starting more."""

    threads: int = 1
    fpir: float = DEFAULT_FPIR
    """share of strangers that may be taken for somebody, for the whole gallery, whatever its size"""
    liveness: Literal["NONE", "LOW", "NORMAL", "HIGH"] = "NONE"
    """what a single picture must show of life, in Baidu's levels. Off: the network that ships lets printed photos pass
    (docs/models/liveness.md), and a check that does not hold would only be trusted"""
    liveness_motion: Literal["off", "refuse-fake", "require-live"] = "off"
    """what a face on a stream must show by its motion (docs/models/liveness.md). "refuse-fake": a face is named after
    a second and a half, unless it has moved as a photo does; one that holds still is let through. "require-live":
    nobody is named before a turn of the head has shown that it is one; single pictures are not accepted then"""
    look_ahead: int = 2
    """turns taken at once: while one is computed, the next one's frame is fetched"""

    engine: Literal["local", "baidu"] = "local"
    """who recognises at the door: this machine's networks, or Baidu's cloud (docs/baidu-cloud.md)"""
    baidu_api_key: SecretStr = SecretStr("")
    baidu_secret_key: SecretStr = SecretStr("")
    baidu_url: str = BAIDU_URL
    baidu_group: LibraryId = STUDENTS_GROUP
    """the group of Baidu's library that holds the students"""
    baidu_qps: float = Field(default=FREE_QPS, gt=0, le=1_000)
    """calls per second of each interface; recognizers of one account share its allowance, so each gets its part"""
    baidu_threshold: float = Field(default=80.0, ge=0, le=100)
    """score from which it is the same person; Baidu states a false accept rate of 1e-4 per comparison for 80"""
    baidu_quality: Literal["NONE", "LOW", "NORMAL", "HIGH"] = "NORMAL"
    baidu_liveness: Literal["NONE", "LOW", "NORMAL", "HIGH"] = "LOW"
    """quality_control and liveness_control, as in seed 000"""
    baidu_fallback: Literal["none", "local"] = "none"
    """who answers when the cloud does not; `local` also keeps an embedding of everybody who registers"""
    baidu_answer_s: float = Field(default=1.5, gt=0, lt=TURN_WAIT_S - 0.1)
    """the door waits this long for the cloud; a turn that took longer would be given to somebody else"""
    baidu_look_s: float = Field(default=3.0, ge=1, le=60)
    """one face is shown to the cloud at most this often"""
    baidu_turns: int = Field(default=16, ge=1, le=256)
    """turns taken at once with engine `baidu`: most of their time they wait for the network"""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.engine == "baidu" and not all(
            map(SecretStr.get_secret_value, (self.baidu_api_key, self.baidu_secret_key))
        ):
            raise ValueError("engine baidu needs ROLLCALL_BAIDU_API_KEY and ROLLCALL_BAIDU_SECRET_KEY")
        if self.engine == "baidu" and self.liveness_motion != "off":
            raise ValueError("liveness_motion is judged by engine local only; baidu has ROLLCALL_BAIDU_LIVENESS")
        return self

    @property
    def cloud(self) -> CloudSettings:
        """What the client needs to know."""
        return CloudSettings(
            api_key=self.baidu_api_key,
            secret_key=self.baidu_secret_key,
            url=self.baidu_url,
            qps=self.baidu_qps,
            quality=self.baidu_quality,
            liveness=self.baidu_liveness,
        )

    @property
    def turns(self) -> int:
        """Taken at once."""
        return self.look_ahead if self.engine == "local" else self.baidu_turns
