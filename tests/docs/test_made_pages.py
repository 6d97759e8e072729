"""Pages and pictures that are made of the code are those that the code of today makes."""

from tests.scripts import script


def test_the_page_of_events_says_what_the_areas_say():
    events = script("events")
    assert events.PAGE.read_text() == events.page(), "run: python scripts/events.py"


def test_what_is_known_of_areas_tools_and_resources_before_they_are_loaded_is_what_they_are():
    for file, page in script("known").PAGES.items():
        assert file.read_text("utf-8") == page(), "run: python scripts/known.py"


def test_the_page_of_rights_says_what_roles_may():
    rights = script("rights")
    assert rights.PAGE.read_text("utf-8") == rights.page(), "run: python scripts/rights.py"


def test_the_page_of_settings_says_what_can_be_set():
    settings = script("settings")
    assert settings.PAGE.read_text("utf-8") == settings.page(), "run: python scripts/settings.py"


def test_the_picture_is_the_one_that_is_drawn():
    picture = script("picture")
    assert picture.PICTURE.read_text("utf-8") == picture.picture(), "run: python scripts/picture.py"
