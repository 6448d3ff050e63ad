"""Numbers that the outside knows us by."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final


class DeviceCode(IntEnum):
    """Seed 004's answer codes that the first slice uses; the rest of the table comes with the whole API."""

    SUCCESS = 0
    UNKNOWN_ERROR = 1
    PERMISSION_DENIED = 9001
    POST_PARAMETERS_NEEDED = 9002
    NAME_OR_SERIAL_WRONG = 9003
    NAME_SERIAL_MISMATCH = 9004
    INCOMPLETE_PARAMETERS = 9005


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
