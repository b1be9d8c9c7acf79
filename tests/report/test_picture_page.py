import base64
import hashlib
import json
import re

from migrate.report.html import draw
from migrate.report.picture import LeafLink, Picture, PictureLeaf, PictureTree
from migrate.report.picture_page import draw_picture, policy, script
from migrate.report.view import Report

EVIL = "</script><script>alert('x')</script><img src=x onerror=alert(1)>\u2028\u202e"


def picture(name: str) -> Picture:
    tree = PictureTree(name, (PictureLeaf((name, name), name, 4),))
    return Picture((tree, tree), (LeafLink("renamed", name, (0,), (0,), ((name, name),), "none"),), {"renamed": name})


def page(name: str) -> str:
    return draw(Report("apply", title="x", picture=lambda: picture(name)))


def test_names_of_a_checkpoint_end_no_script_and_become_no_markup():
    assert page("a").count("<script") == page(EVIL).count("<script")
    assert "<img" not in page(EVIL)
    assert "\u202e" not in page(EVIL)


def test_the_data_of_a_page_are_the_picture():
    (text,) = re.findall(
        r'<script type="application/json" id="picture">(.*?)</script>', draw_picture(picture("<a&b>")), re.S
    )
    assert picture("<a&b>").to_json() == json.loads(text)


def test_no_script_runs_but_the_page_s_own():
    digest = base64.b64encode(hashlib.sha256(script().encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy(has_picture=True)
    assert "script-src" not in policy(has_picture=False)
    assert f"<script>{script()}</script>" in page("a")


def test_a_page_loads_nothing():
    drawn = page("a")
    assert "default-src 'none'" in drawn
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", drawn)


def test_the_first_report_with_a_picture_draws_it():
    reports = [Report("apply", title="steps"), *2 * [Report("apply", title="one", picture=lambda: picture("a"))]]
    assert 1 == draw(*reports).count('id="trees"')
