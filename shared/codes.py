"""Numbers that the outside knows us by."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final, Self


class DeviceCode(IntEnum):
    """Seed 004's whole table: number, name as printed there (`printed`), and when we answer it (`when`; empty for
    the codes of an engine that is not ours)."""

    printed: str
    when: str

    def __new__(cls, number: int, printed: str, when: str = "") -> Self:
        code = int.__new__(cls, number)
        code._value_, code.printed, code.when = number, printed, when
        return code

    SUCCESS = 0, "Success", "it is done"
    UNKNOWN_ERROR = 1, "Unknown error", "with HTTP 503: starting, busy, or a part is away; wait `Retry-After` seconds"
    INVALID_PARAMETER = 2, "invalid parameter", "a parameter is malformed, sent twice or not known; `message` names it"
    ENGINE_UNSUPPORTED = 3, "Engine unsuppored"
    MEMORY_ERROR = 4, "Memery error"
    BAD_STATE = 5, "Bad state", "what is there forbids it: username or face registered already, a name that two bear"
    USER_CANCELED = 6, "User cancled"
    EXPIRED = 7, "Expired", "the token's time is over; get a new one"
    PAUSE = 8, "Pause", "with HTTP 429: too many pictures at once, or wrong serial numbers; wait `Retry-After` seconds"
    BUFFER_OVERFLOW = 9, "Buffer Overflow", "with HTTP 413: more bytes than this call takes"
    BUFFER_UNDERFLOW = 10, "Buffer Underflow"
    DISK_SPACE_LOW = 11, "Disk space low"
    COMPONENT_MISSING = 12, "Compoent not exsit"
    GLOBAL_DATA_MISSING = 13, "Member global data not exist"
    SDK_ERROR = 28672, "SDK error"
    INVALID_APP_ID = 28673, "Invalid APPID"
    INVALID_DETECT_KEY = 28674, "Invalid DETECTKEY"
    APP_ID_MISMATCH = 28675, "APPID & DETECTKEY do not match"
    INVALID_SDK_KEY = 28676, "Invalid SDKKey"
    SYSTEM_UNSUPPORTED = 28677, "System version unsupported"
    LICENCE_EXPIRED = 28678, "Licence expired"
    PHOTO_STYLING_ERROR = 69632, "PhotoStyling error"
    INVALID_ENGINE = 69633, "Invalid engine handle"
    INVALID_MEMORY_MANAGER = 69634, "Invalid memery manager handle"
    INVALID_DEVICE_ID = 69635, "Invalid device id"
    DEVICE_ID_UNSUPPORTED = 69636, "Deivce id unsupported"
    INVALID_MODEL = 69637, "Invalid model handle"
    INVALID_MODEL_SIZE = 69638, "Invalid model size"
    INVALID_IMAGE = 69639, "Invalid image handle"
    IMAGE_FORMAT = 69640, "Image format unsupported", "no JPEG, PNG, BMP or WebP picture, or an animation"
    IMAGE_PARAMETERS = 69641, "Invalid image parameters", "a side of the picture has less than 40 pixels"
    IMAGE_TOO_LARGE = 69642, "Image size too large", "the picture has more than 10 MB or 25 megapixels"
    NO_AVX2 = 69643, "CPU unsupport AVX2"
    RECOGNITION_ERROR = 73728, "Face recognition base error"
    INVALID_MEMORY = 73729, "Invalid memory infomation"
    IMAGE_REFUSED = (
        73730,
        "Invalid face recognition image information",
        "the picture is not good enough to register; `message` says what to change",
    )
    FACE_REFUSED = 73731, "Invalid face information", "this is no feature; `faceName` names nobody"
    NO_GPU = 73732, "No GPU avilable"
    FEATURE_LEVEL = 73733, "Feature level mismatched", "features of two models, or of one that is not known here"
    PERMISSION_DENIED = (
        9001,
        "Device permission denied",
        "unknown or not authorised, a token that is wrong or was used, or none where one is needed",
    )
    POST_PARAMETERS_NEEDED = 9002, "You need post parameters", "nothing was posted, or no form, multipart or JSON"
    NAME_OR_SERIAL_WRONG = (
        9003,
        "Serial number or device name post error",
        "one of them is too long, no text, or has control characters",
    )
    NAME_SERIAL_MISMATCH = (
        9004,
        "Device name and the serial number mismatched",
        "they belong to two devices, one of them to none, or the token to another device",
    )
    INCOMPLETE_PARAMETERS = 9005, "Incomplete parameters submitted", "a parameter is missing; `message` names it"
    NO_FACE = 9006, "No faces detected", "nobody is in the picture, or in the box"
    INTERNAL_ERROR = 9007, "Internal function submission error", "a fault of ours; the operator's log has more"
    NOT_BGR24 = 9111, "The image can to be coverted to BGR24"
    NOT_NV21 = 9112, "The image can to be coverted to NV21"
    FILE_UNREADABLE = 9113, "Fail to read file", "the picture is empty, cut off, damaged, or no base64"
    MEMORY_ERROR_TOO = 9114, "Memery error"
    BODY_UNREADABLE = (
        9115,
        "Function parameter acquisition error",
        "the body is not the form, multipart or JSON that it says",
    )
    DETECTOR_UNAVAILABLE = 9116, "Fail to initialize face detector engine"
    FEATURE_UNAVAILABLE = 9117, "Fail to initialize face feature engine"
    AGE_UNAVAILABLE = 9118, "Fail to initialize face age engine"
    GENDER_UNAVAILABLE = 9119, "Fail to initialize face gender engine"
    MATCH_UNAVAILABLE = 9120, "Fail to initialize face match engine"
    DETECT_FAILED = 9121, "Static face detected Error"
    FEATURE_FAILED = 9122, "Static feature caught Error", "a face is there, and no feature could be taken of it"
    AGE_FAILED = 9123, "Static age estimated Error", "a face is there, and its age cannot be told"
    GENDER_FAILED = 9124, "Static gender estimated Error"
    MATCH_FAILED = 9125, "Static face matched Error", "`faceData` is not of the face in the picture"


class FaceCode(IntEnum):
    """Baidu's codes that we answer with; FACE_TEXTS has the exact texts (V3 §5, spelling as there)."""

    UNKNOWN = 1
    UNAVAILABLE = 2
    UNSUPPORTED_METHOD = 3
    REQUEST_LIMIT = 4
    NO_PERMISSION = 6
    SIGNATURE_WRONG = 14
    QPS_LIMIT = 18
    INVALID_PARAMETER = 100
    TOKEN_INVALID = 110
    TOKEN_EXPIRED = 111
    PARAM_NULL = 222001
    START = 222002
    LENGTH = 222003
    GROUP_ID_LIST = 222005
    GROUP_ID = 222006
    USER_INFO = 222010
    IMAGE = 222013
    IMAGE_TYPE = 222015
    MAX_FACE_NUM = 222016
    FACE_FIELD = 222017
    USER_ID = 222018
    QUALITY_CONTROL = 222019
    LIVENESS_CONTROL = 222020
    MAX_USER_NUM = 222021
    FACE_TYPE = 222024
    FACE_TOKEN = 222025
    MATCH_THRESHOLD = 222030
    FACE_SORT_TYPE = 222039
    DISPLAY_CORP_IMAGE = 222043
    FORMAT = 222046
    NOT_JSON = 222200
    NO_FACE = 222202
    IMAGE_CHECK_FAIL = 222203
    URL_DOWNLOAD_FAIL = 222204
    NO_MATCH = 222207
    IMAGE_COUNT = 222208
    FACE_TOKEN_UNKNOWN = 222209
    TOO_MANY_FACES = 222210
    FACE_TOO_SMALL = 222213
    IMAGE_TOO_LARGE = 222304
    IMAGE_TOO_SMALL = 222309
    GROUP_MISSING = 223100
    GROUP_EXISTS = 223101
    USER_EXISTS = 223102
    USER_MISSING = 223103
    GROUP_LIST_TOO_LARGE = 223104
    FACE_EXISTS = 223105
    FACE_MISSING = 223106
    DESTINATION_MISSING = 223111
    COVERED = 223113
    BLURRED = 223114
    LIGHT = 223115
    INCOMPLETE = 223116
    NOT_ALIVE = 223120
    LEFT_EYE = 223121
    RIGHT_EYE = 223122
    LEFT_CHEEK = 223123
    RIGHT_CHEEK = 223124
    CHIN = 223125
    NOSE = 223126
    MOUTH = 223127
    NOT_FRONTAL = 223129
    SPOOFING_CONTROL = 223130
    SPOOFING = 223131


FACE_TEXTS: Final[Mapping[FaceCode, str]] = {
    FaceCode.UNKNOWN: "Unknown error",
    FaceCode.UNAVAILABLE: "Service temporarily unavailable",
    FaceCode.UNSUPPORTED_METHOD: "Unsupported openapi method",
    FaceCode.REQUEST_LIMIT: "Open api request limit reached",
    FaceCode.NO_PERMISSION: "No permission to access data",
    FaceCode.SIGNATURE_WRONG: "IAM Certification failed",
    FaceCode.QPS_LIMIT: "Open api qps request limit reached",
    FaceCode.INVALID_PARAMETER: "Invalid parameter",
    FaceCode.TOKEN_INVALID: "Access token invalid or no longer valid",
    FaceCode.TOKEN_EXPIRED: "Access token expired",
    FaceCode.PARAM_NULL: "param[{0}] is null",
    FaceCode.START: "param[start] format error",
    FaceCode.LENGTH: "param[length] format error",
    FaceCode.GROUP_ID_LIST: "param[group_id_list] format error",
    FaceCode.GROUP_ID: "group_id format error",
    FaceCode.USER_INFO: "user_info format error",
    FaceCode.IMAGE: "param[image] format error",
    FaceCode.IMAGE_TYPE: "param[image_type] format error",
    FaceCode.MAX_FACE_NUM: "param[max_face_num] format error",
    FaceCode.FACE_FIELD: "param[face_field] format error",
    FaceCode.USER_ID: "param[user_id] format error",
    FaceCode.QUALITY_CONTROL: "param[quality_control] format error",
    FaceCode.LIVENESS_CONTROL: "param[liveness_control] format error",
    FaceCode.MAX_USER_NUM: "param[max_user_num] format error",
    FaceCode.FACE_TYPE: "param[face_type] format error",
    FaceCode.FACE_TOKEN: "param[face_token] format error",
    FaceCode.MATCH_THRESHOLD: "param[match_threshold] format error",
    FaceCode.FACE_SORT_TYPE: "param[face_sort_type] format error",
    FaceCode.DISPLAY_CORP_IMAGE: "param[display_corp_image] format error",
    FaceCode.FORMAT: "param[{0}] format error",
    FaceCode.NOT_JSON: "request body should be json format",
    FaceCode.NO_FACE: "pic not has face",
    FaceCode.IMAGE_CHECK_FAIL: "image check fail",
    FaceCode.URL_DOWNLOAD_FAIL: "image_url_download_fail",
    FaceCode.NO_MATCH: "match user is not found",
    FaceCode.IMAGE_COUNT: "the number of image is incorrect",
    FaceCode.FACE_TOKEN_UNKNOWN: "face token not exist",
    FaceCode.TOO_MANY_FACES: "the number of user's faces is beyond the limit",
    FaceCode.FACE_TOO_SMALL: "face size is too small",
    FaceCode.IMAGE_TOO_LARGE: "image size is too large",
    FaceCode.IMAGE_TOO_SMALL: "image size is too small",
    FaceCode.GROUP_MISSING: "group is not exist",
    FaceCode.GROUP_EXISTS: "group is already exist",
    FaceCode.USER_EXISTS: "user is already exist",
    FaceCode.USER_MISSING: "user is not exist",
    FaceCode.GROUP_LIST_TOO_LARGE: "group_list is too large",
    FaceCode.FACE_EXISTS: "face is already exist",
    FaceCode.FACE_MISSING: "face is not exist",
    FaceCode.DESTINATION_MISSING: "dst group is not exist",
    FaceCode.COVERED: "face is covered",
    FaceCode.BLURRED: "face is fuzzy",
    FaceCode.LIGHT: "face light is not good",
    FaceCode.INCOMPLETE: "incomplete face",
    FaceCode.NOT_ALIVE: "liveness check fail",
    FaceCode.LEFT_EYE: "left eye is occlusion",
    FaceCode.RIGHT_EYE: "right eye is occlusion",
    FaceCode.LEFT_CHEEK: "left cheek is occlusion",
    FaceCode.RIGHT_CHEEK: "right cheek is occlusion",
    FaceCode.CHIN: "chin contour is occlusion",
    FaceCode.NOSE: "nose is occlusion",
    FaceCode.MOUTH: "mouth is occlusion",
    FaceCode.NOT_FRONTAL: "face is not frontal",
    FaceCode.SPOOFING_CONTROL: "param[spoofing_control] format error",
    FaceCode.SPOOFING: "spoofing check fail",
}
"""English texts; of 222039, 222043, 222046, 222213, 222304, 222309, 223129–223131 only the Chinese meaning is known,
the words are ours. {0} is the parameter's name."""
