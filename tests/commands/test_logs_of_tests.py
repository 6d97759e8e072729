"""A command sets logs up for its whole process, which tests share."""

import structlog
from structlog.testing import capture_logs

from mcp_server.observability.logs import configure_logs

log = structlog.get_logger()


def test_who_logged_where_a_command_had_set_logs_up_is_heard_by_who_captures_them_later():
    for _ in range(2):
        configure_logs("info", "json")
        log.warning("before")
    with capture_logs() as logged:
        log.warning("now")
    assert [one["event"] for one in logged] == ["now"]
