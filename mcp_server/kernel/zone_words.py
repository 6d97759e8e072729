"""What clocks are called in a few letters, as people write them behind a time. Data, and nothing else: such letters are
nobody's for sure (IST is India's, Ireland's and Israel's), so they are named in a refusal, and taken for nothing."""

from collections.abc import Mapping

ZONE_WORDS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "PST": (("-08:00", "America/Los_Angeles"),),
    "PDT": (("-07:00", "America/Los_Angeles"),),
    "PT": (("-08:00", "America/Los_Angeles"),),
    "MST": (("-07:00", "America/Denver"),),
    "MDT": (("-06:00", "America/Denver"),),
    "CST": (("-06:00", "America/Chicago"), ("+08:00", "Asia/Shanghai")),
    "CDT": (("-05:00", "America/Chicago"),),
    "EST": (("-05:00", "America/New_York"),),
    "EDT": (("-04:00", "America/New_York"),),
    "ET": (("-05:00", "America/New_York"),),
    "AST": (("-04:00", "America/Halifax"),),
    "BRT": (("-03:00", "America/Sao_Paulo"),),
    "BST": (("+01:00", "Europe/London"),),
    "WET": (("+00:00", "Europe/Lisbon"),),
    "WEST": (("+01:00", "Europe/Lisbon"),),
    "CET": (("+01:00", "Europe/Berlin"),),
    "CEST": (("+02:00", "Europe/Berlin"),),
    "MEZ": (("+01:00", "Europe/Berlin"),),
    "MESZ": (("+02:00", "Europe/Berlin"),),
    "EET": (("+02:00", "Europe/Athens"),),
    "EEST": (("+03:00", "Europe/Athens"),),
    "SAST": (("+02:00", "Africa/Johannesburg"),),
    "MSK": (("+03:00", "Europe/Moscow"),),
    "IST": (("+05:30", "Asia/Kolkata"), ("+01:00", "Europe/Dublin"), ("+02:00", "Asia/Jerusalem")),
    "SGT": (("+08:00", "Asia/Singapore"),),
    "HKT": (("+08:00", "Asia/Hong_Kong"),),
    "JST": (("+09:00", "Asia/Tokyo"),),
    "KST": (("+09:00", "Asia/Seoul"),),
    "AEST": (("+10:00", "Australia/Sydney"),),
    "AEDT": (("+11:00", "Australia/Sydney"),),
    "NZST": (("+12:00", "Pacific/Auckland"),),
    "NZDT": (("+13:00", "Pacific/Auckland"),),
}
"""By such letters how far those clocks are ahead of UTC, and a place that has them."""
